import { volumeOf } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value } from '../value.ts';

/** A tensor whose axes have names, a letter each. */
type Labelled = { readonly value: Value; readonly labels: string };

/** A sum over products, as matrix products of two operands at a time: their axes in groups of shared, own and summed ones. */
export function einsum(emit: Emitter, equation: string, operands: readonly Value[]): Value {
  const { terms, output } = labelsOf(equation, operands);
  const named = terms.map((labels, i): Labelled => diagonal(emit, { value: operands[i] as Value, labels }));
  const [first, ...rest] = named as [Labelled, ...Labelled[]];
  const product = rest.reduce((left, right, i) => {
    const later = rest.slice(i + 1).map(({ labels }) => labels).join('') + output;
    return multiplied(emit, lonely(emit, left, right.labels + later), lonely(emit, right, left.labels + later), later);
  }, first);
  return arranged(emit, lonely(emit, product, output), output);
}

/** The letters of each operand's axes and of the result's. Axes that `...` stands for are digits, counted from the last. */
function labelsOf(equation: string, operands: readonly Value[]): { readonly terms: readonly string[]; readonly output: string } {
  const [left = '', right] = equation.replaceAll(' ', '').split('->');
  const written = left.split(',');
  const refuse = (): never => {
    throw new CannotImport('E1003', `the sum \`${equation}\` is not one over tensors of rank ${operands.map(({ shape }) => shape.length).join(' and ')}`);
  };
  if (operands.length === 0 || written.length !== operands.length) refuse();
  const dots = (count: number): string => Array.from({ length: count }, (_, i) => String(count - 1 - i)).join('');
  const hidden = operands.map(({ shape }, i) => shape.length - (written[i] as string).replace('...', '').length);
  if (hidden.some((count, i) => count < 0 || count > 10 || (count > 0 && !(written[i] as string).includes('...')))) refuse();
  const terms = written.map((term, i) => term.replace('...', dots(hidden[i] as number)));
  const most = dots(Math.max(...hidden));
  const once = [...terms.join('')].filter((label) => /[A-Za-z]/.test(label)).toSorted().filter((label, _, all) => all.indexOf(label) === all.lastIndexOf(label));
  const output = right === undefined ? most + once.join('') : right.replace('...', most);
  if ([...terms, output].some((text) => !/^[A-Za-z0-9]*$/.test(text)) || [...output].some((label) => !terms.join('').includes(label)) || new Set(output).size < output.length) refuse();
  return { terms, output };
}

/** Axes of the same letter become one, of the elements whose indices along them are the same. */
function diagonal(emit: Emitter, { value, labels }: Labelled): Labelled {
  const axis = [...labels].findIndex((label, at) => labels.indexOf(label) < at);
  if (axis < 0) return { value, labels };
  const other = labels.indexOf(labels[axis] as string);
  const size = value.shape[other] as Dim;
  if (emit.sizes.equate(size, value.shape[axis] as Dim) === undefined) throw new CannotImport('E1003', `axes ${other} and ${axis} of [${value.shape.join(', ')}] are not of one size`);
  const places = emit.reshape(emit.iota('i64', 0, 1, size), value.shape.map((_, at) => (at === other ? size : 1)));
  const picked = emit.pick(value, places, axis);
  return diagonal(emit, { value: emit.reshape(picked, picked.shape.toSpliced(axis, 1)), labels: labels.slice(0, axis) + labels.slice(axis + 1) });
}

/** Sums away the axes nobody else names. */
function lonely(emit: Emitter, { value, labels }: Labelled, others: string): Labelled {
  const axes = [...labels].flatMap((label, axis) => (others.includes(label) ? [] : [axis]));
  return { value: emit.reduce('sum', value, axes, false), labels: [...labels].filter((label) => others.includes(label)).join('') };
}

/** The product of two, summed over the axes both have and nobody wants later. */
function multiplied(emit: Emitter, left: Labelled, right: Labelled, later: string): Labelled {
  const [a, b] = [withoutOnes(emit, left, right), withoutOnes(emit, right, left)];
  const shared = [...a.labels].filter((label) => b.labels.includes(label) && later.includes(label)).join('');
  const summed = [...a.labels].filter((label) => b.labels.includes(label) && !later.includes(label)).join('');
  const ownOf = ({ labels }: Labelled): string => [...labels].filter((label) => !shared.includes(label) && !summed.includes(label)).join('');
  const [rows, columns] = [ownOf(a), ownOf(b)];
  const sizes = new Map([a, b].flatMap(({ value, labels }) => [...labels].map((label, i) => [label, value.shape[i] as Dim] as const)));
  const shapeOf = (labels: string): readonly Dim[] => [...labels].map((label) => sizes.get(label) as Dim);
  const grouped = (each: Labelled, groups: readonly [string, string]): Value =>
    emit.reshape(arranged(emit, each, shared + groups[0] + groups[1]), [...shapeOf(shared), volumeOf(shapeOf(groups[0])), volumeOf(shapeOf(groups[1]))]);
  const product = emit.matmul(grouped(a, [rows, summed]), grouped(b, [summed, columns]));
  return { value: emit.reshape(product, shapeOf(shared + rows + columns)), labels: shared + rows + columns };
}

/** An axis of 1 that the other operand has longer broadcasts: it is left away. */
function withoutOnes(emit: Emitter, { value, labels }: Labelled, other: Labelled): Labelled {
  const isKept = (label: string, axis: number): boolean => value.shape[axis] !== 1 || !other.labels.includes(label) || other.value.shape[other.labels.indexOf(label)] === 1;
  return { value: emit.reshape(value, value.shape.filter((_, axis) => isKept(labels[axis] as string, axis))), labels: [...labels].filter(isKept).join('') };
}

function arranged(emit: Emitter, { value, labels }: Labelled, order: string): Value {
  const perm = [...order].map((label) => labels.indexOf(label));
  if (perm.length !== labels.length || perm.includes(-1)) throw new CannotImport('E1003', `axes \`${labels}\` cannot be ordered as \`${order}\``);
  return emit.transpose(value, perm);
}
