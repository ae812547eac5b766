import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import { layerLoop } from '../stage.ts';
import { type Pace, secondsOf } from './pace.ts';

/**
 * How many iterations of the layer loop each of `count` stages has, one at the least: as many as make the slowest fastest, by the time a layer takes by estimate, what comes before the
 * layers (the embedding), and what comes after (the head); evenly, where no step is known. Among stages as fast those between the first and the last have more, so
 * that they are alike.
 */
export function cutOf(module: GraphModule, count: number, pace: Pace | undefined): readonly number[] {
  const loop = layerLoop(module);
  const { ops } = module.body;
  const at = loop === undefined ? 0 : ops.indexOf(loop);
  const seconds = (some: readonly GraphOp[]): number => (pace === undefined ? 0 : secondsOf(some, module, pace));
  return balanced(loop?.attrs.trip ?? 0, count, { before: seconds(ops.slice(0, at)), layer: seconds(loop?.body.ops ?? []) || 1, after: seconds(ops.slice(at + 1)) });
}

/** What there is to divide: seconds of a layer, of what the first stage has besides, and the last. */
export type Shares = { readonly before: number; readonly layer: number; readonly after: number };

/** Layers go one by one to the stage that is fastest with it: no other cut has a faster slowest stage. */
export function balanced(trip: number, count: number, { before, layer, after }: Shares): readonly number[] {
  const layers = Array.from({ length: count }, () => 1);
  const last = count - 1;
  const order = [...layers.keys()].toSorted((a, b) => Number(a === 0 || a === last) - Number(b === 0 || b === last) || b - a);
  const withOneMore = (stage: number): number => (layers[stage]! + 1) * layer + (stage === 0 ? before : 0) + (stage === last ? after : 0);
  for (let left = trip - count; left > 0; left--) layers[order.reduce((best, stage) => (withOneMore(stage) < withOneMore(best) ? stage : best))]!++;
  return layers;
}
