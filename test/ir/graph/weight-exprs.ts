import type { DType } from '../../../ir/types.ts';
import { withParts } from '../../../ir/weight-expr.ts';
import type { WeightExpr } from '../../../ir/weights.ts';
import type { Tape } from './workshop.ts';

type Shapes = Map<string, { dtype: DType; shape: readonly number[] }>;

/** Expressions that make a shape: one, or in a loop perhaps one an iteration. The tensors they read are added to `shapes`. */
export function weightExprs(tape: Tape, shape: readonly number[], trip: number | undefined, shapes: Shapes): readonly WeightExpr[] {
  const base = `t${shapes.size}`;
  let tensors = 0;
  const leaves: { readonly part: number; readonly shape: readonly number[] }[] = [];
  const make = (of: readonly number[], depth: number): WeightExpr => {
    const first = of[0] as number;
    const kinds: readonly (() => WeightExpr)[] = [
      () => {
        leaves.push({ part: tensors, shape: of });
        return { kind: 'tensor', name: String(tensors++) };
      },
      () => ({ kind: 'values', shape: of, values: [tape.one([0, 1, -0.25, 1e-7])] }),
      () => ({ kind: 'values', shape: of, values: Array.from({ length: volume(of) }, () => tape.one([0, 1, -0.25, 0.5])) }),
      () => ({ kind: 'transpose', of: make(of.toReversed(), depth - 1) }),
      () => ({ kind: 'reshape', of: make([volume(of)], depth - 1), shape: of }),
      () => ({ kind: 'slice', of: make(of.with(0, first + 3), depth - 1), axis: 0, start: 1, end: first + 1 }),
      () => (first < 2 ? make(of, depth - 1) : { kind: 'concat', axis: 0, of: [make(of.with(0, 1), depth - 1), make(of.with(0, first - 1), depth - 1)] }),
      () => ({ kind: 'scale', of: make(of, depth - 1), by: 0.5 }),
      () => ((of.at(-1) as number) % 2 === 0 ? { kind: 'unpack', of: make(of.with(-1, (of.at(-1) as number) / 2), depth - 1), bits: 4 } : make(of, depth - 1)),
      () => ({ kind: 'dequantise', of: make(of, depth - 1), scale: make(of.map((size) => Math.ceil(size / 2)), depth - 1), zeroPoint: tape.below(2) === 0 ? undefined : make(of.map((size) => Math.ceil(size / 2)), depth - 1), block: of.map(() => 2) }),
      () => ({ kind: 'shard', of: make(of.with(0, first * 2), depth - 1), axis: 0, parts: 2 }),
      () => (of.length === 2 && (of[1] as number) % 2 === 0 ? { kind: 'rope', frequencies: Array.from({ length: (of[1] as number) / 2 }, (_, i) => 1 / (i + 1)), positions: first, amplitude: 1.5 } : make(of, depth - 1)),
    ];
    return depth <= 0 ? (kinds[0] as () => WeightExpr)() : tape.one(kinds)();
  };
  const skeleton = make(shape, 2);
  const naming = tape.one<(part: string, i: number) => string>([(part, i) => `${base}.layers.${i + 9}.x${part}`, (part, i) => `${base}.${['a', 'z', 'q'][i]}${part}`, (part) => `${base}.{}${part}`]);
  const count = trip === undefined || tape.below(3) === 0 ? 1 : trip;
  return Array.from({ length: count }, (_, i) => {
    for (const leaf of leaves) shapes.set(naming(String(leaf.part), i), { dtype: 'f32', shape: leaf.shape });
    return named(skeleton, (part) => naming(part, i));
  });
}

const volume = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

const named = (expr: WeightExpr, name: (part: string) => string): WeightExpr =>
  expr.kind === 'tensor' ? { ...expr, name: name(expr.name) } : withParts(expr, (part) => named(part, name));
