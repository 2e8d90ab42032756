// What `one_answer.py` does, in WebAssembly as a browser computes it, on one thread:
// `node benchmarks/wasm_answer.mjs GRAPH PICTURES SIDE ANSWERS`

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../serving/web/package.json", import.meta.url));
const { env, InferenceSession, Tensor } = require("onnxruntime-web");

const [graph, pictures, side, answers] = process.argv.slice(2);
env.wasm.numThreads = 1;
env.logLevel = "error";
const session = await InferenceSession.create(readFileSync(graph), { executionProviders: ["wasm"] });

const bytes = readFileSync(pictures);
const [pixels, shape] = [side * side * 3, [1, Number(side), Number(side), 3]];
const images = Array.from(
  { length: bytes.length / pixels },
  (_, i) => new Tensor("uint8", bytes.subarray(i * pixels, (i + 1) * pixels), shape),
);

const probability = [];
for (const image of images) {
  const found = Array.from((await session.run({ image })).probability.data);
  const sum = found.reduce((a, b) => a + b);
  if (!(Math.abs(sum - 1) < 1e-4)) throw new Error(`${graph}: probabilities sum to ${sum}`);
  probability.push(found);
}

const times = [];
for (let turn = 0; turn < answers; turn++) {
  const start = performance.now();
  await session.run({ image: images[turn % images.length] });
  times.push(performance.now() - start);
}
times.sort((a, b) => a - b);
const seconds = (times[(answers - 1) >> 1] + times[answers >> 1]) / 2000;
const [, peak] = readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s*(\d+) kB/);
console.log(JSON.stringify({ seconds, memory: 1024 * peak, probability }));
