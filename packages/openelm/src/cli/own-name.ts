//! How the command is called from where it was started.

/** `openelm`, or how npm runs it inside a clone, where it is on no path. */
export const OWN_NAME = import.meta.url.includes("/node_modules/") ? "openelm" : "npx --no-install openelm";

/** The command that opens a file with the program that the system has for it. */
export function openCommand(path: string): string {
  if (process.platform === "darwin") return `open ${path}`;
  return process.platform === "win32" ? `start ${path}` : `xdg-open ${path}`;
}
