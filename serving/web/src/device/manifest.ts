import type { Manifest } from "../api";

/** What reading a picture needs of a model's manifest beside what the page does. */
export interface WholeManifest extends Manifest {
  decision_offsets: Record<string, number>;
  conformal: Manifest["conformal"] & { quantiles: Record<string, number> };
  quality: {
    min_side: number;
    min_sharpness: number;
    min_luminance: number;
    min_lesion_share: number;
  };
}
