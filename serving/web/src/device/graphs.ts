import { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";

import type { Manifest } from "../api";
import type { Upright } from "./decode";
import type { Outputs } from "./prediction";

/** A model's two graphs in onnxruntime, ready to run. */
export interface Graphs {
  /** `preprocess.onnx`: `[size, size, 3]` of a picture of any size. */
  prepare: (picture: Upright) => Promise<Uint8Array>;
  /** `model.onnx` over one such square. */
  answer: (pixels: Uint8Array) => Promise<Outputs>;
}

/** Gives onnxruntime its WebAssembly, which it would otherwise fetch by itself. */
export function start(runtime: Uint8Array): void {
  env.wasm.wasmBinary = runtime;
  // One picture takes a few hundredths of a second; more threads would take longer to start.
  env.wasm.numThreads = 1;
  env.logLevel = "error";
}

/** Loads the two graphs of the model that `manifest` describes. */
export async function load(
  preprocess: Uint8Array,
  model: Uint8Array,
  { preprocessing: { size } }: Manifest,
): Promise<Graphs> {
  const first = await InferenceSession.create(preprocess, { executionProviders: ["wasm"] });
  const second = await InferenceSession.create(model, { executionProviders: ["wasm"] });
  return {
    prepare: async ({ pixels, rows, columns }) => {
      const image = new Tensor("uint8", pixels, [rows, columns, 3]);
      const { pixels: square } = await first.run({ image });
      return values(square) as Uint8Array;
    },
    answer: async (pixels) => {
      const image = new Tensor("uint8", pixels, [1, size, size, 3]);
      const { probability, heatmap, novelty } = await second.run({ image });
      const [, , rows = 0, columns = 0] = heatmap?.dims ?? [];
      return {
        probability: values(probability) as Float32Array,
        heatmap: values(heatmap) as Float32Array,
        rows,
        columns,
        novelty: Number(values(novelty)[0]),
      };
    },
  };
}

function values(tensor: Tensor | undefined): Tensor.DataType {
  if (!tensor) throw new Error("The graph lacks an output of the contract");
  return tensor.data;
}
