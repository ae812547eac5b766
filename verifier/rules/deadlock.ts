import { alg, Graph } from '@dagrejs/graphlib';
import type { Queue } from '../../isa-spec/instructions.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf, semaphoreName, textOf } from '../chip.ts';
import { type Blocked, fifoEntries, type Game, type Want } from '../token-game.ts';
import { usesOf } from './single-waiter.ts';

/** V05. Every queue comes to its end, whatever the timing. The counter-example is the cycle of queues that wait for each other, or who waits for nobody. */
export function deadlock(chip: ChipView, game: Game): readonly Finding[] {
  if (game.end === 'done') return [];
  if (game.end === 'unknown') return [{ rule: 'V05', place: placeOf(chip), message: 'not proved: the queues are still running after twenty million instructions', notes: game.blocked.map((blocked) => `${nameOf(chip, blocked.queue, blocked.pc)}${iterationText(blocked.I)}`) }];

  const helpers = helpersOf(chip, game);
  const notes = (stuck: readonly Blocked[]): readonly string[] => stuck.map((blocked) => noteOf(chip, game, blocked));
  const cycle = findCycle(game.blocked, helpers);
  if (cycle.length > 0) {
    const [first] = cycle as [Blocked];
    const ring = cycle.length === 1 ? `${first.queue} waits for itself` : `${cycle.map(({ queue }) => queue).join(' waits for ')} waits for ${first.queue}`;
    return [{ rule: 'V05', place: placeOf(chip, first.queue, first.pc), message: `deadlock: ${ring}`, notes: notes(cycle) }];
  }
  const starved = game.blocked.filter((blocked) => blocked.wants.every((want) => helpers(want).length === 0));
  const [first] = starved as [Blocked];
  return [{ rule: 'V05', place: placeOf(chip, first.queue, first.pc), message: `deadlock: ${starved.map(({ queue }) => queue).join(', ')} ${starved.length === 1 ? 'waits' : 'wait'} for what nobody is left to give`, notes: notes(starved) }];
}

/** The unfinished queues that could give what is wanted. */
function helpersOf(chip: ChipView, game: Game): (want: Want) => readonly Queue[] {
  const unfinished = new Set(game.blocked.map(({ queue }) => queue));
  const posters = usesOf(chip, 'posts');
  return (want) => {
    const able: readonly Queue[] = want.kind === 'token' ? (posters.get(want.semaphore) ?? []).map(({ queue }) => queue) : [want.kind === 'room' ? 'mxu' : 'wld'];
    return able.filter((queue) => unfinished.has(queue));
  };
}

/** Blocked queues each waiting for the next, the last for the first; none if nobody waits in a circle. */
function findCycle(blocked: readonly Blocked[], helpers: (want: Want) => readonly Queue[]): readonly Blocked[] {
  const graph = new Graph();
  for (const { queue, wants } of blocked) for (const helper of wants.flatMap(helpers)) graph.setEdge(queue, helper);
  const [component] = alg.findCycles(graph);
  if (component === undefined) return [];
  const path: string[] = [component[0]!];
  for (;;) {
    const next = (graph.successors(path.at(-1)!) ?? []).find((queue) => component.includes(queue))!;
    const back = path.indexOf(next);
    if (back >= 0) return firstFirst(path.slice(back).map((queue) => blocked.find((one) => one.queue === queue)!), blocked);
    path.push(next);
  }
}

/** A cycle told from the queue that comes first in the machine. */
function firstFirst(cycle: readonly Blocked[], order: readonly Blocked[]): readonly Blocked[] {
  const start = cycle.indexOf(order.find((one) => cycle.includes(one))!);
  return [...cycle.slice(start), ...cycle.slice(0, start)];
}

function noteOf(chip: ChipView, game: Game, blocked: Blocked): string {
  const { queue, pc, wants } = blocked;
  return `${nameOf(chip, queue, pc)}${iterationText(blocked.I)} \`${textOf(chip, queue, pc)}\` waits for ${wants.map((want) => wantText(chip, game, want)).join(' and for ')}`;
}

function wantText(chip: ChipView, game: Game, want: Want): string {
  if (want.kind === 'room') return `room in the weight FIFO, which holds ${fifoEntries}`;
  if (want.kind === 'weights') return 'weights in the weight FIFO, which is empty';
  const last = game.lastPost.get(want.semaphore);
  const given = last === undefined ? 'never posted' : `last posted by ${nameOf(chip, last.queue, last.pc)}`;
  return `${want.needs} of ${semaphoreName(chip, want.semaphore)}, has ${want.has}, ${given}`;
}
