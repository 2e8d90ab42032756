import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  LinearScale,
  type Plugin,
} from "chart.js";

Chart.register(BarController, BarElement, CategoryScale, LinearScale);

/** One bar: a diagnosis with its probability. */
export interface Row {
  name: string;
  note: string;
  value: string;
  probability: number;
  malignant: boolean;
}

const BAR = 12;
/** Pixels from the middle of a bar up to the baseline of its words. */
const LIFT = 14;

/**
 * Draws the rows as horizontal bars, each under its own words, so that long names fit a phone.
 * Malignant bars are striped: colour alone would not tell them apart for everyone.
 */
export function drawChart(canvas: HTMLCanvasElement, rows: Row[], animate: boolean): Chart<"bar"> {
  const ink = colour("--color-ink");
  const muted = colour("--color-muted");
  const track = colour("--color-track");
  const benign = colour("--color-benign");
  const stripes = makeStripes(canvas, colour("--color-malignant"), colour("--color-malignant-2"));
  const font = getComputedStyle(canvas).fontFamily;

  const labels: Plugin<"bar"> = {
    id: "labels",
    beforeDatasetsDraw(chart) {
      const { ctx, chartArea } = chart;
      ctx.fillStyle = track;
      for (const bar of chart.getDatasetMeta(0).data) {
        ctx.beginPath();
        ctx.roundRect(chartArea.left, bar.y - BAR / 2, chartArea.width, BAR, BAR / 2);
        ctx.fill();
      }
    },
    afterDatasetsDraw(chart) {
      const { ctx, chartArea } = chart;
      chart.getDatasetMeta(0).data.forEach((bar, i) => {
        const row = rows[i];
        if (!row) return;
        const y = bar.y - LIFT;
        ctx.textBaseline = "alphabetic";
        ctx.textAlign = "right";
        ctx.font = `600 14px ${font}`;
        ctx.fillStyle = ink;
        ctx.fillText(row.value, chartArea.right, y);
        ctx.textAlign = "left";
        ctx.font = `500 14px ${font}`;
        // A name too long for the width is set closer rather than cut.
        ctx.fillText(row.name, chartArea.left, y, chartArea.width - 52);
        const after = chartArea.left + ctx.measureText(row.name).width + 8;
        ctx.font = `400 12px ${font}`;
        ctx.fillStyle = muted;
        if (after + ctx.measureText(row.note).width < chartArea.right - 44) {
          ctx.fillText(row.note, after, y);
        }
      });
    },
  };

  return new Chart(canvas, {
    type: "bar",
    data: {
      labels: rows.map((row) => row.name),
      datasets: [
        {
          data: rows.map((row) => row.probability),
          backgroundColor: rows.map((row) => (row.malignant ? stripes : benign)),
          barThickness: BAR,
          borderRadius: BAR / 2,
          borderSkipped: false,
          minBarLength: 3,
        },
      ],
    },
    plugins: [labels],
    options: {
      indexAxis: "y",
      responsive: true,
      maintainAspectRatio: false,
      animation: animate ? { duration: 500, easing: "easeOutCubic" } : false,
      events: [],
      layout: { padding: { top: 10, bottom: 0 } },
      scales: { x: { display: false, min: 0, max: 1 }, y: { display: false } },
    },
  });
}

/** The colour that a theme variable stands for in the present colour scheme. */
function colour(variable: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function makeStripes(canvas: HTMLCanvasElement, dark: string, light: string): CanvasPattern {
  const side = 8;
  const tile = document.createElement("canvas");
  tile.width = side;
  tile.height = side;
  const pen = tile.getContext("2d");
  if (!pen) throw new Error("This browser draws no 2D canvas");
  pen.fillStyle = dark;
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = light;
  pen.lineWidth = 2.4;
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift, side);
    pen.lineTo(shift + side, 0);
  }
  pen.stroke();
  const pattern = canvas.getContext("2d")?.createPattern(tile, "repeat");
  if (!pattern) throw new Error("This browser draws no 2D canvas");
  return pattern;
}
