import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { RowPart } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import { interleaving, type Turn } from '../tile/parts.ts';
import { afterVector, attentionOf, productOf, vectorOf, type Window, windowOf } from './cycles.ts';
import { bytesOfWeights } from './floor.ts';
import { efficiencyOf } from './pages.ts';
import type { Homes } from './tiling.ts';

/** Queues that wait for each other. Two of them read HBM. */
const queues = ['mxu', 'att', 'vec'] as const;

/** What an op does to its queue: cycles it occupies it if HBM brings `bytes` meanwhile, and from then on until what it makes is there. */
type Cost = { readonly queue: (typeof queues)[number]; readonly occupied: number; readonly after: number; readonly bytes: number };

/** An op of a part, and what it waits for: the one of that part before it; attention also for the product before it in the program, whoever's: until then others have its memory. */
type Task = Cost & { readonly awaited: readonly Task[] };

/** Turns of the loop that are looked at, of longer ones: those after them take as long as the last. */
const turnsMost = 4;

/**
 * Cycles of all layers of a module by estimate, as parts of a step's rows take turns through them in a given way: each queue works in the order of the program, an op begins once what its part did before is there,
 * attention gets of HBM what products leave, half of it at the least, and nothing else keeps anybody; nor are they less than HBM takes to bring it all, weights once a part.
 */
export function cyclesInTurns(module: GraphModule, parts: readonly RowPart[], step: readonly StepSequence[], machine: Machine): (way: Pick<Homes, 'ahead' | 'haste' | 'lag'>) => number {
  const loop = layerLoop(module);
  if (loop === undefined) throw new Error('internal: there are no layers to take turns in');
  const { body: { ops }, attrs: { trip } } = loop;
  const costs = parts.map(({ first, rows }) => {
    const window: Window = { module, step: windowOf(step, first, first + rows), all: step, machine };
    return new Map(ops.map((op) => [op, costOf(op, window)]));
  });
  const names = parts.map((_, part) => part) as unknown as readonly [number, ...number[]];
  const rate = (machine.hbm.bytesPerSecond.value * efficiencyOf(machine, Infinity)) / machine.clockHz.value;
  const brought = (trip * costs.reduce((sum, own) => sum + [...own.values()].reduce((bytes, cost) => bytes + (cost?.bytes ?? 0), 0), 0)) / rate;
  const cycles = (some: readonly Turn<number>[]): number => {
    const last: (Task | undefined)[] = parts.map(() => undefined);
    let product: Task | undefined;
    const tasks = some.flatMap(({ part, ops: own }) => own.flatMap((op) => {
      const cost = costs[part]?.get(op);
      if (cost === undefined) return [];
      const task: Task = { ...cost, awaited: [last[part], cost.queue === 'att' ? product : undefined].filter((one) => one !== undefined) };
      last[part] = task;
      if (cost.queue === 'mxu') product = task;
      return [task];
    }));
    return endOf(tasks, rate);
  };
  return (way) => {
    const { before, body, times, after } = interleaving(ops, trip, names, way);
    const looked = Math.min(times, turnsMost);
    const turns = (count: number): readonly Turn<number>[] => [...before, ...Array.from({ length: count }, () => body).flat(), ...after];
    const all = cycles(turns(looked));
    const taken = looked === times ? all : all + (times - looked) * (all - cycles(turns(looked - 1)));
    return Math.max(taken, brought);
  };
}

/** When the last of some tasks, in the order of the program, has made what it makes. */
function endOf(tasks: readonly Task[], rate: number): number {
  const lists = new Map(queues.map((queue) => [queue, tasks.filter((task) => task.queue === queue)]));
  const there = new Map<Task, number>();
  const atWork = new Map<Task['queue'], { readonly task: Task; left: number }>();
  const heads = new Map(queues.map((queue) => [queue, 0]));
  let now = 0;
  for (;;) {
    let soonest = Infinity;
    for (const queue of queues) {
      const task = lists.get(queue)?.[heads.get(queue) as number];
      if (task === undefined || atWork.has(queue)) continue;
      const ready = task.awaited.reduce((latest, one) => Math.max(latest, there.get(one) ?? Infinity), 0);
      if (ready > now) soonest = Math.min(soonest, ready);
      else atWork.set(queue, { task, left: task.occupied });
    }
    const attention = paceOf(atWork.get('att')?.task, atWork.get('mxu')?.task, rate);
    const paceIn = (queue: Task['queue']): number => (queue === 'att' ? attention : 1);
    const next = [...atWork].reduce((time, [queue, { left }]) => Math.min(time, now + left / paceIn(queue)), soonest);
    if (next === Infinity) return Math.max(0, ...there.values());
    for (const [queue, one] of atWork) {
      const { task } = one;
      const speed = paceIn(queue);
      if (now + one.left / speed > next) one.left -= (next - now) * speed;
      else {
        there.set(task, next + task.after);
        heads.set(queue, (heads.get(queue) as number) + 1);
        atWork.delete(queue);
      }
    }
    now = next;
  }
}

/** How fast attention goes on, as a share of its own pace, beside a product, if one is at work: that has its weights brought ahead. */
function paceOf(attention: Task | undefined, product: Task | undefined, rate: number): number {
  if (attention === undefined || attention.bytes === 0) return 1;
  const taken = product === undefined ? 0 : product.bytes / product.occupied;
  return Math.min(1, (Math.max(rate / 2, rate - taken) * attention.occupied) / attention.bytes);
}

function costOf(op: GraphOp, window: Window): Cost | undefined {
  if (op.kind === 'attention') {
    const { cycles, bytes, moves } = attentionOf(op, window);
    return { queue: 'att', occupied: cycles + moves, after: 0, bytes };
  }
  if (op.kind === 'norm' || op.kind === 'quantise' || op.kind === 'rope') return { queue: 'vec', occupied: vectorOf(op, op.kind === 'norm' ? op.attrs.norm : op.kind, window), after: afterVector(window.machine), bytes: 0 };
  if (op.kind !== 'linear') return undefined;
  const { occupied, drained, latency } = productOf(op, window);
  return { queue: 'mxu', occupied, after: Math.max(0, drained - occupied) + latency, bytes: bytesOfWeights([op], window.module) };
}
