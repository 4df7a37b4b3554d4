// A process to be killed: trains the tiny model in the folder that it is given, and says each step.
import { createViteServer } from "vitest/node";

const [folder, steps, extras] = process.argv.slice(2);
const conditions = ["openelm-source"];
const server = await createViteServer({
  configFile: false,
  logLevel: "error",
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true },
  // `using` is newer than the oldest Node that is supported.
  oxc: { target: "es2023" },
});
const { tiny } = await server.ssrLoadModule(new URL("tiny.ts", import.meta.url).pathname);
const { trainer } = tiny(
  { folder, steps: Number(steps), checkpoint: { every: 3, keepLast: 3 } },
  JSON.parse(extras),
);
for await (const event of trainer.run()) process.stdout.write(`${event.type} ${event.step}\n`);
await server.close();
