import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openelm, type RunOptions, temporary } from "./cli.js";
import { simpleText } from "./text.js";

const place = temporary();
writeFileSync(join(place, "notes.txt"), simpleText());

const SMALL = ["model.layers=2", "model.modelDim=64", "batch.sequences=4", "batch.sequenceLength=64"];
const set = SMALL.flatMap((setting) => ["--set", setting]);

beforeAll(async () => {
  const args = ["train", "--text", "notes.txt", "--folder", "run", "--steps", "30", "--set", "optim.lr=1e-2"];
  const { code, stderr } = await openelm([...args, ...set], { cwd: place });
  expect(stderr).not.toContain("error");
  expect(code).toBe(0);
}, 300_000);

const generate = (...args: string[]) => openelm(["generate", "-m", "run", ...args], { cwd: place });
const chat = (args: readonly string[], options: RunOptions) =>
  openelm(["chat", "-m", "run", "-n", "8", ...args], { cwd: place, ...options });

describe("openelm generate", { timeout: 300_000 }, () => {
  test("gives the same greedy text with guesses, from the prompt and from a model", async () => {
    const greedy = ["-p", "The cat sees", "-n", "40", "-t", "0"];
    const [plain, lookup, model, eager] = await Promise.all([
      generate(...greedy),
      generate(...greedy, "--prompt-lookup"),
      generate(...greedy, "--draft-model", "run", "--draft-tokens", "3"),
      generate(...greedy, "--no-capture", "--prefill-chunk", "2"),
    ]);
    expect(plain.code).toBe(0);
    expect(plain.stderr).toMatch(/\d+ tokens in .* s \(.* tokens\/s\), prompt of \d+ in/);
    for (const other of [lookup, model, eager]) expect(other.stdout).toBe(plain.stdout);
    for (const other of [lookup, model]) expect(other.stderr).toMatch(/\d+ of \d+ guesses taken/);
  });

  test("continues several prompts side by side, each as alone with its seed", async () => {
    const how = ["-n", "10", "--top-k", "20", "--json"];
    const [together, second] = await Promise.all([
      generate("-p", "The cat", "-p", "A bird likes", "--seed", "3", ...how),
      generate("-p", "A bird likes", "--seed", "4", ...how),
    ]);
    const texts = together.events.filter(({ type }) => type === "text");
    expect(texts.map(({ index }) => index)).toEqual([0, 1]);
    expect(texts[1]!.text).toBe(second.events.at(-1)!.text);
    const shown = await generate("-p", "The cat", "-p", "A bird likes", "-n", "4");
    expect(shown.stdout).toMatch(/^The cat.*\n\nA bird likes/s);
    const wrong = await generate("-p", "a", "-p", "b", "--prompt-cache", "x");
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("--prompt-cache is for one prompt, not for several");
  });

  test("tells how likely tokens were, to a person and to a program", async () => {
    const how = ["-p", "The cat", "-n", "3", "--logprobs", "2"];
    const { stdout } = await generate(...how);
    expect(stdout.match(/^ *\d+\.\d% {2}\S+ .*\d+\.\d%.*\d+\.\d%$/gm)).toHaveLength(3);
    const { events } = await generate(...how, "--json");
    const [token] = events as [{ logprob: number; top: { id: number; logprob: number }[] }];
    expect(token.logprob).toBeLessThan(0);
    expect(token.top).toHaveLength(2);
  });

  test("keeps what it read in a file, and refuses that of another model", async () => {
    const how = ["-p", "The cat sees the river", "-n", "4", "--json", "--prompt-cache", "cat.safetensors"];
    const first = await generate(...how);
    expect(first.events.at(-1)).toMatchObject({ usage: { cachedTokens: 0 } });
    expect(existsSync(join(place, "cat.safetensors"))).toBe(true);
    const again = await generate(...how);
    const { usage } = again.events.at(-1) as { usage: { promptTokens: number; cachedTokens: number } };
    expect(usage.cachedTokens).toBe(usage.promptTokens - 1);
    expect(again.events.at(-1)!.text).toBe(first.events.at(-1)!.text);
    const other = await generate(...how, "--dtype", "bf16");
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/cat.safetensors: was made with another model/);
  });

  test("makes text of a JSON schema, and of a regular expression", async () => {
    const schema = {
      type: "object",
      properties: { animal: { enum: ["cat", "dog"] }, old: { type: "boolean" } },
      required: ["animal", "old"],
      additionalProperties: false,
    };
    writeFileSync(join(place, "animal.schema.json"), JSON.stringify(schema));
    const how = ["-p", "The cat sees", "-n", "60", "-t", "2", "--json"];
    const [json, regex, wrong] = await Promise.all([
      generate(...how, "--json-schema", "animal.schema.json"),
      generate(...how, "--regex", " the (river|moon){1,3}\\.\\n[0-9]{4}"),
      generate(...how, "--regex", "(a"),
    ]);
    const value = JSON.parse(json.events.at(-1)!.text as string) as { animal: string; old: boolean };
    expect(["cat", "dog"]).toContain(value.animal);
    expect(typeof value.old).toBe("boolean");
    expect(regex.events.at(-1)!.text).toMatch(/^ the (river|moon){1,3}\.\n[0-9]{4}$/);
    expect(regex.events.at(-1)!.finishReason).toBe("stop");
    expect(wrong.stderr).toContain("the regular expression cannot be followed");
  });

  test.each([
    [["--json-schema", "notes.txt"], 1, "notes.txt: "],
    [["--json-schema", "a", "--regex", "b"], 1, "--json-schema or --regex, not both"],
    [["--regex", "b", "--prompt-lookup"], 1, "cannot go with draft"],
    [["--logit-bias", "x=1"], 2, "a token and a number"],
    [["--draft-tokens", "3"], 1, "--draft-tokens goes with --prompt-lookup or --draft-model"],
    [["--prompt-lookup", "--draft-model", "run"], 1, "not from both"],
    [["--prompt-lookup", "--draft-tokens", "16"], 1, "1 to 15, got 16"],
    [["--logit-bias", "99999=1"], 1, "token 99999, but the vocabulary ends at"],
  ])("refuses %j", async (args, code, message) => {
    const result = await generate("-p", "x", ...args);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(message);
  });
});

describe("openelm chat", { timeout: 300_000 }, () => {
  test("answers each line, and obeys those that are not for the model", async () => {
    const input = "Hello\n\n/system Be brief.\nWhat now?\n/save talk.json\n/nonsense\n/reset\n/exit\nnever\n";
    const { code, stdout, stderr } = await chat([], { input });
    expect(code).toBe(0);
    expect(stderr.match(/\d+ tokens? in/g)).toHaveLength(2);
    expect(stderr).toContain("there is no such command");
    const saved = JSON.parse(readFileSync(join(place, "talk.json"), "utf8")) as {
      system: string;
      messages: { role: string; content: string }[];
    };
    expect(saved.system).toBe("Be brief.");
    expect(saved.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
    expect(saved.messages[2]!.content).toBe("What now?");
    expect(stdout).toContain(saved.messages[1]!.content);
  });

  test("goes on with a saved conversation, and tells a program of tokens and answers", async () => {
    const conversation = {
      system: "Be brief.",
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" },
      ],
    };
    writeFileSync(join(place, "earlier.json"), JSON.stringify(conversation));
    const how = ["--json", "--conversation", "earlier.json"];
    const { events } = await chat(how, { input: "And?\n/save later.json\n" });
    const answer = events.at(-1)!;
    expect(answer).toMatchObject({ type: "answer", forgotten: 0 });
    const tokens = events.filter(({ type }) => type === "token");
    expect(tokens.map(({ text }) => text).join("")).toBe(answer.text);
    const later = JSON.parse(readFileSync(join(place, "later.json"), "utf8")) as typeof conversation;
    expect(later.messages).toHaveLength(4);
    writeFileSync(join(place, "wrong.json"), '{"messages": [{"role": "user"}]}');
    const wrong = await chat(["--conversation", "wrong.json"], { input: "a\n" });
    expect(wrong.stderr).toMatch(/wrong.json holds no conversation/);
  });

  test("Ctrl-C stops the answer that is made, and not the chat", async () => {
    // Room for an answer that is not at its end before the signal comes, however late that is.
    cpSync(join(place, "run/model"), join(place, "long"), { recursive: true });
    const config = join(place, "long/config.json");
    const json = JSON.parse(readFileSync(config, "utf8"));
    expect(json.max_context_length).toBe(512);
    writeFileSync(config, JSON.stringify({ ...json, max_context_length: 200_000 }));
    let sent = false;
    const { code, events } = await openelm(
      ["chat", "-m", "long", "-n", "50000", "--stop", "never", "--json"],
      {
        cwd: place,
        input: "Hello\n/save stopped.json\n",
        onOutput(stdout) {
          if (sent || stdout.split("\n").length < 5) return undefined;
          sent = true;
          return "SIGINT";
        },
      },
    );
    expect(code).toBe(0);
    expect(events.filter(({ type }) => type !== "token").map(({ type }) => type)).toEqual(["stopped"]);
    expect(JSON.parse(readFileSync(join(place, "stopped.json"), "utf8"))).toHaveProperty("messages");
  });
});
