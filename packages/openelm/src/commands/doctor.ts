import { availableParallelism, cpus, release, totalmem } from "node:os";
import { isOpenELMError, type NativeInfo, nativeInfo, platformName } from "@openelm/native";
import type { Device } from "@openelm/tensor";
import { Command } from "commander";
import pc from "picocolors";
import { bytes } from "../cli/format.js";
import { examples } from "../cli/options.js";
import { Output } from "../cli/output.js";
import { VERSION } from "../version.js";

type CudaReport = ReturnType<typeof import("@openelm/tensor")["cudaProbe"]>;

/** A device as `doctor` reports it. */
interface DeviceReport {
  readonly name: string;
  readonly threads: number;
  readonly memoryLimit: number;
}

interface Report {
  readonly version: string;
  readonly platform: string;
  readonly system: string;
  readonly node: string;
  readonly processor: string;
  readonly cores: number;
  readonly memory: number;
  readonly core: NativeInfo | { readonly error: string };
  readonly devices: readonly DeviceReport[];
  readonly cuda?: CudaReport;
  readonly problems: readonly string[];
}

/** `openelm doctor`: what this machine has, and what keeps the core from working. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .summary("what this machine has, and what is wrong with the installation")
    .description(
      "Shows the platform, the native core and the devices; exit code 1 if something keeps them from working.",
    )
    .option("--json", "print one JSON object")
    .addHelpText("after", examples("openelm doctor", "openelm doctor --json"))
    .action(doctor);
}

async function doctor({ json }: { readonly json?: boolean }): Promise<void> {
  const output = new Output({ json });
  const report = await examine();
  output.emit(report);
  const rows = [
    ["openelm", VERSION],
    ["platform", `${report.platform} (${report.system})`],
    ["Node.js", report.node],
    ["processor", `${report.processor}, ${report.cores} threads`],
    ["memory", bytes(report.memory)],
    ...coreRows(report.core),
    ...(report.cuda ? [cudaRow(report.cuda)] : []),
    ...report.devices.map(({ name, threads, memoryLimit }) => [
      `device ${name}`,
      `${name === "cpu" ? `${threads} threads, ` : ""}at most ${bytes(memoryLimit)} in tensors`,
    ]),
  ];
  const width = Math.max(...rows.map(([name]) => name!.length));
  for (const [name, value] of rows) output.say(`${name!.padEnd(width)}  ${value}`);
  output.say();
  for (const problem of report.problems) output.say(`${pc.red("problem")} ${problem}`);
  if (report.problems.length === 0) output.say(`${pc.green("ok")} a product of matrices gives what it must`);
  else process.exitCode = 1;
}

function coreRows(core: Report["core"]): string[][] {
  if ("error" in core) return [["core", "not loaded"]];
  const { source, version, simd, build } = core;
  const built = build
    ? [["built by", `rustc ${build.rustc}, ${build.triple}, ${build.profile}, sources ${build.sources}`]]
    : [];
  return [["core", `${version}, ${source}`], ...built, ["vector units", simd]];
}

function cudaRow({ devices, driver, missing }: CudaReport): string[] {
  const found = missing ?? devices.join(", ");
  return ["CUDA", driver === null ? found : `driver of CUDA ${driver}: ${found}`];
}

async function examine(): Promise<Report> {
  const problems: string[] = [];
  const facts = {
    version: VERSION,
    platform: platformName(),
    system: `${process.platform} ${release()}`,
    node: process.version,
    processor: cpus()[0]?.model.trim() ?? process.arch,
    cores: availableParallelism(),
    memory: totalmem(),
  };
  try {
    const core = nativeInfo();
    const devices = await tryDevices(problems);
    const { cudaProbe } = await import("@openelm/tensor");
    return { ...facts, core, devices, cuda: cudaProbe(), problems };
  } catch (error) {
    if (!isOpenELMError(error)) throw error;
    return { ...facts, core: { error: error.message }, devices: [], problems: [...problems, error.message] };
  }
}

/** Imported late, because importing the tensor package loads the core. */
async function tryDevices(problems: string[]): Promise<DeviceReport[]> {
  const { devices } = await import("@openelm/tensor");
  const reports: DeviceReport[] = [];
  for (const device of devices()) {
    try {
      const wrong = await tryProduct(device);
      if (wrong) problems.push(`device ${device.name}: ${wrong}`);
      reports.push({
        name: device.name,
        threads: device.stats().threads,
        memoryLimit: device.memory().limit,
      });
    } catch (error) {
      // The others may work.
      if (!isOpenELMError(error)) throw error;
      problems.push(`device ${device.name}: ${error.message}`);
    }
  }
  return reports;
}

/** What is wrong with a product on the device, if anything. */
async function tryProduct(device: Device): Promise<string | undefined> {
  const { scope, tensor, withDefaults } = await import("@openelm/tensor");
  const product = withDefaults({ device }, () =>
    scope(() =>
      tensor([
        [1, 2],
        [3, 4],
      ]).matmul(tensor([[5], [6]])),
    ),
  );
  const values = Array.from((await product.data()) as Float32Array);
  product.dispose();
  return values.join() === "17,39" ? undefined : `[[1, 2], [3, 4]] × [5, 6] gave [${values}], not [17, 39]`;
}
