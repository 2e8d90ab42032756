/** Bytes of onnxruntime's WebAssembly; vite.config.ts says it. */
declare const RUNTIME_BYTES: number;
