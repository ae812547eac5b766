import { volumeOf } from '../../../ir/dims.ts';
import type { PrimitiveAttrs } from '../../../ir/graph/ops.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, knownValue } from '../value.ts';
import { placesIn } from './gather.ts';
import type { Call, Rule, Rules } from './rule.ts';

const scatterElements: Rule = (call, emit) => written(emit, call.input(0), call.input(1), call.input(2), { axis: call.int('axis', 0), reduction: reductionOf(call) });

/** What writes into a copy of a tensor by index. */
export const scatters: Rules = {
  Scatter: scatterElements,
  ScatterElements: scatterElements,
  ScatterND: (call, emit) => scatterNd(call, emit),
  TensorScatter: (call, emit) => tensorScatter(call, emit),
};

const written = (emit: Emitter, data: Value, indices: Value, updates: Value, attrs: PrimitiveAttrs['pscatter']): Value => emit.chosen.written(data, indices, updates, attrs) ?? emit.scatter(data, indices, updates, attrs);

function reductionOf(call: Call): PrimitiveAttrs['pscatter']['reduction'] {
  const reduction = call.string('reduction', 'none');
  if (reduction === 'none' || reduction === 'add' || reduction === 'mul' || reduction === 'min' || reduction === 'max') return reduction;
  throw new CannotImport('E1003', `there is no reduction \`${reduction}\``);
}

/** The axes that are indexed become one, and so do those of the places. */
function scatterNd(call: Call, emit: Emitter): Value {
  const [data, updates] = [call.input(0), call.input(2)];
  const { places, depth, outer } = placesIn(emit, data, call.input(1), 0);
  const rest = data.shape.slice(depth);
  const count = volumeOf(outer);
  const table = emit.reshape(data, [volumeOf(data.shape.slice(0, depth)), ...rest]);
  return emit.reshape(written(emit, table, emit.reshape(places, [count, ...rest.map(() => 1)]), emit.reshape(updates, [count, ...rest]), { axis: 0, reduction: reductionOf(call) }), data.shape);
}

/** New rows of a cache from each sequence's own place on. */
function tensorScatter(call: Call, emit: Emitter): Value {
  const [cache, updates] = [call.input(0), call.input(1)];
  const axis = emit.axis(call.int('axis', -2), cache);
  const alone = (size: Dim, at: number): readonly Dim[] => cache.shape.map((_, i) => (i === at ? size : 1));
  const rows = dimAt(updates, axis);
  const steps = emit.reshape(emit.iota('i64', 0, 1, rows), alone(rows, axis));
  const starts = call.inputs[2];
  const places = starts === undefined ? steps : emit.binary('add', steps, emit.reshape(starts, alone(dimAt(cache, 0), 0)));
  const circular = call.string('mode', 'linear') === 'circular';
  const indices = circular ? emit.binary('mod', places, knownValue('i64', [], [dimAt(cache, axis)])) : places;
  return emit.scatter(cache, indices, updates, { axis, reduction: 'none' });
}
