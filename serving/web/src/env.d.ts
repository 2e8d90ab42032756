/** Bytes of onnxruntime's WebAssembly; vite.config.ts says it. */
declare const RUNTIME_BYTES: number;

/** What is said of our own models' classes in English, by id; vite.config.ts reads it. */
declare const CLASSES: Record<string, { name: string; description: string }>;
