import tailwindcss from "@tailwindcss/vite";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/static/",
  plugins: [tailwindcss()],
  build: {
    outDir: "../static",
    emptyOutDir: true,
    // The templates find the hashed files through .vite/manifest.json.
    manifest: true,
    rolldownOptions: { input: ["src/main.ts", "src/history/page.ts"] },
    // A data: URI in a stylesheet or script would need a wider content security policy.
    assetsInlineLimit: 0,
  },
});
