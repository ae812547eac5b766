import type { Comparison } from './compare.ts';
import { float32Tolerance, type Similarity, withinFloat32 } from './similarity.ts';

const fixed = (value: number): string => (value === Infinity ? 'equal' : `${value.toFixed(1)} dB`);
const likeness = ({ cosine, sqnr }: Similarity): string => `cosine ${cosine.toFixed(7)}, SQNR ${fixed(sqnr)}`;

/** A comparison for people: each result against each witness, then quantisation by layer, then the tensor that suffers most. */
export function renderComparison({ results, layers, worst }: Comparison, againstRuntime: boolean): string {
  const lines = results.flatMap(({ name, equalBits, values, graphToRuntime, programToTruth }) => [
    `${name}`,
    `  program = graph, normative     ${equalBits === values ? `equal bits, ${values} values` : `${values - equalBits} of ${values} values DIFFER`}`,
    ...(graphToRuntime === undefined
      ? []
      : [`  graph, double = ONNX Runtime   largest difference ${graphToRuntime.largest.toExponential(1)} of ${graphToRuntime.scale.toPrecision(3)}, ${withinFloat32(graphToRuntime) ? 'within' : 'BEYOND'} ${float32Tolerance} relative`]),
    `  program ~ ${againstRuntime ? 'ONNX Runtime       ' : 'graph, double      '}  ${likeness(programToTruth)}`,
  ]);
  const byLayer = layers.map((layer) => `  layer ${String(layer.layer).padStart(3)}                      ${likeness(layer)}`);
  const least = worst === undefined ? [] : [`  worst tensor                   ${worst.op}${worst.layer === undefined ? '' : `, layer ${worst.layer}`}: ${likeness(worst)}`];
  return ['compared', ...lines.map((line) => ` ${line}`), ' quantisation, normative against double precision', ...byLayer, ...least].join('\n');
}
