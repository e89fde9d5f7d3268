// Runs exported models in onnxruntime: node runtime.mjs NPM-FOLDER DIR, where DIR has what `reference` wrote
// and NAME.onnx beside it. Logits and features at batches of 1, 5 and 16 must be the engine's.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [npm, dir] = process.argv.slice(2);
const ort = createRequire(resolve(npm, "package.json"))("onnxruntime-node");
const IMAGES = 16;
const TOLERANCE = 1e-4;

function floats(name) {
  const bytes = readFileSync(join(dir, name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

function check(condition, sentence) {
  if (!condition) throw new Error(sentence);
}

// Largest difference, over the largest value where that is above 1.
function deviation(got, want) {
  let error = 0;
  let largest = 1;
  for (let i = 0; i < want.length; i++) {
    error = Math.max(error, Math.abs(got[i] - want[i]));
    largest = Math.max(largest, Math.abs(want[i]));
  }
  return error / largest;
}

async function checkModel(name, images) {
  const session = await ort.InferenceSession.create(join(dir, `${name}.onnx`), {
    executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 2,
  });
  const want = { logits: floats(`${name}.logits`), features: floats(`${name}.features`) };
  const pixels = images.length / IMAGES;
  const side = Math.sqrt(pixels / 3);
  let worst = 0;
  check(session.inputNames.join() === "image", `${name}: inputs ${session.inputNames}`);
  check(session.outputNames.join() === "logits,features", `${name}: outputs ${session.outputNames}`);
  for (const batch of [1, 5, IMAGES]) {
    const image = new ort.Tensor("float32", images.slice(0, batch * pixels), [batch, 3, side, side]);
    const out = await session.run({ image });
    for (const key of ["logits", "features"]) {
      const width = want[key].length / IMAGES;
      check(out[key].dims.join() === `${batch},${width}`, `${name}: ${key} has shape ${out[key].dims}`);
      const d = deviation(out[key].data, want[key].subarray(0, batch * width));
      check(d <= TOLERANCE, `${name}, batch ${batch}: ${key} differ by ${d}`);
      worst = Math.max(worst, d);
    }
  }
  const spread = Math.max(...want.logits) - Math.min(...want.logits);
  check(spread > 0.1, `${name}: logits are nearly constant, nothing was compared`);
  console.log(`${name}: within ${worst.toExponential(1)}, logits spread over ${spread.toFixed(2)}`);
}

const images = floats("images");
const names = readdirSync(dir).filter((f) => f.endsWith(".onnx")).map((f) => f.slice(0, -5));
check(names.length > 0, `no model in ${dir}`);
for (const name of names) await checkModel(name, images);
