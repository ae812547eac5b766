import type { Activation } from '../../isa-spec/instructions.ts';
import { activations } from '../../isa-spec/instructions.ts';
import type { OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { merged } from './axes.ts';
import { parameterOf } from './constants.ts';
import { type Lifted, type Raising, unlimitedPositions, viewOf } from './raising.ts';
import { findRope } from './rope.ts';
import { isolated, type RowNode, scaled } from './rows.ts';

/** A recognised norm over the features of every row, or over each of the equal parts a row is cut into. */
export function liftNorm(op: OpOf<'tnorm'>, raising: Raising): Lifted {
  const { source } = raising;
  const [operand, ...parameters] = op.operands as readonly [ValueId, ...ValueId[]];
  const view = raising.view(operand);
  if (view === undefined) return undefined;
  const x = isolated(view);
  const along = merged(x === undefined ? [] : op.attrs.axes.flatMap((axis) => x.layout.axes[axis] ?? []));
  const [only] = along;
  const sizes = op.attrs.axes.map((axis) => source.type(operand).shape[axis]).join(' x ');
  if (x === undefined || along.length !== 1 || only?.axis !== 'feature' || only.stride !== 1 || x.row.width % only.size > 0) return `it normalises ${sizes} of ${view.row.width} features, which are no equal parts of a row, side by side`;
  const row = scaled(x.row, x.scale);
  const weights = parameters.map((parameter) => parameterOf(source, parameter, x.layout, { width: row.width, group: only.size }));
  if (weights.includes(undefined)) return 'its gain or bias is not one number a feature';
  return viewOf({ kind: 'norm', attrs: { norm: op.attrs.norm, groups: row.width / only.size, epsilon: op.attrs.epsilon }, rows: [row], weights: weights.flatMap((weight) => weight ?? []), width: row.width, of: row.of, from: [op] }, x);
}

/** A recognised activation of every element. */
export function liftActivation(op: OpOf<'tactivate'>, raising: Raising): Lifted {
  const view = raising.view(op.operands[0] as ValueId);
  if (view === undefined) return undefined;
  const { activation, slope } = op.attrs;
  const isSquared = activation === 'relu2';
  const fn = isSquared ? 'relu' : activation;
  if (!isOfMachine(fn)) return `the machine does not compute \`${activation}\``;
  const x = isolated(view);
  if (x === undefined) return 'it activates irregular parts of rows';
  const row = scaled(x.row, x.scale * slope);
  const activated: RowNode = { kind: 'activate', attrs: { activation: fn }, rows: [row], weights: [], width: row.width, of: row.of, from: [op] };
  const made: RowNode = isSquared ? { ...activated, kind: 'multiply', attrs: {}, rows: [activated, activated] } : activated;
  return { ...viewOf(made, x), scale: 1 / slope };
}

export const isOfMachine = (name: string): name is Activation => (activations as readonly string[]).includes(name);

/** A recognised rotation of every head, by the row's position. */
export function liftRope(op: OpOf<'trope'>, raising: Raising): Lifted {
  const { source, known } = raising;
  const [operand, cos, sin] = op.operands as readonly [ValueId, ValueId, ValueId];
  const root = raising.view(operand);
  if (root === undefined) return undefined;
  const x = isolated(root);
  if (x === undefined) return 'it rotates irregular parts of rows';
  const { axes } = x.layout;
  const [last, ...more] = merged(axes.at(-1) ?? []);
  if (last?.axis !== 'feature' || last.stride !== 1 || more.length > 0 || axes.flat().some(({ axis }) => axis === 'key')) return 'its last axis is not the features of one head';
  if (op.attrs.pairs === 'unzipped') return 'it writes the halves of its pairs apart, which is not lowered yet';
  if (root.row.of !== 'tokens') return 'it rotates rows whose positions the host does not say';
  if (source.dependence(cos) === 'active' || source.dependence(sin) === 'active') return 'its angles depend on activations';
  const found = known.recall(`rope ${JSON.stringify(axes)} ${cos} ${sin} ${op.attrs.pairs}`, () => findRope(source, operand, op.results[0] as ValueId, axes));
  if (found === undefined) return 'its angles are not positions times frequencies';
  const attrs = { headDim: last.size, ...found.rope, positions: found.positions ?? unlimitedPositions };
  return { ...x, row: { kind: 'rope', attrs, rows: [x.row, 'positions'], weights: [], width: x.row.width, of: x.row.of, from: [op] } };
}
