// Runs single operators in onnxruntime: node operators.mjs NPM-FOLDER DIR, where DIR has what `operators`
// wrote. Each must make the engine's y of x.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [npm, dir] = process.argv.slice(2);
const ort = createRequire(resolve(npm, "package.json"))("onnxruntime-node");
const TOLERANCE = 2e-6;

function floats(name) {
  const bytes = readFileSync(join(dir, name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
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

const names = readdirSync(dir).filter((f) => f.endsWith(".onnx")).map((f) => f.slice(0, -5));
let failures = 0;
for (const name of names) {
  const x = floats(`${name}.x`);
  const want = floats(`${name}.y`);
  try {
    const session = await ort.InferenceSession.create(join(dir, `${name}.onnx`), {
      executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3,
    });
    const shape = session.inputMetadata[0].shape.slice();
    const rest = shape.slice(1).reduce((a, b) => a * b, 1);
    shape[0] = x.length / rest;
    const { y } = await session.run({ x: new ort.Tensor("float32", x, shape) });
    const d = deviation(y.data, want);
    if (y.data.length !== want.length || !(d <= TOLERANCE))
      throw new Error(`${y.data.length} numbers, not ${want.length}, differ by ${d}`);
    console.log(`${name}: within ${d.toExponential(1)}`);
  } catch (e) {
    failures++;
    console.error(`${name}: ${e.message}`);
  }
}
if (failures || names.length < 20) {
  console.error(`${failures} of ${names.length} failed`);
  process.exit(1);
}
