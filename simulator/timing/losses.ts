import { type Queue, queues } from '../../isa-spec/instructions.ts';
import { type Chip, lossIndex, type LossName } from './chip.ts';
import { type Lane, laneState, queueIndex } from './lane.ts';
import { flowOf } from './units.ts';

/**
 * While the matrix arrays are idle, the loss is named after what their next multiplication waits for: from the mxu queue follow the awaited
 * semaphore to the queue that posts it, from there on likewise, until a queue is at work (its unit is to blame), or its result is on the way
 * (its latency is, and then the semaphore's). After the last multiplication the chain starts from the queue that reports to the host;
 * when all is done, the chip waits for the slowest stage of the pipeline.
 */
const atWork: { readonly [Q in Queue]: LossName } = {
  ctl: 'synchronisation', dma0: 'exposedDma', dma1: 'exposedDma', wld: 'weightLoad', mxu: 'synchronisation', epi: 'fillDrain', att: 'attention', vec: 'vector', col: 'exposedLink',
};
/** The same while the result of a finished instruction is on the way. */
const onTheWay: { readonly [Q in Queue]: LossName } = { ...atWork, mxu: 'fillDrain' };

const workLoss = Uint8Array.from(queues, (queue) => lossIndex[atWork[queue]]);
const wayLoss = Uint8Array.from(queues, (queue) => lossIndex[onTheWay[queue]]);
const { mxu, wld, att, ctl } = queueIndex;
const { busy, joining, finished } = laneState;
const { imbalance, synchronisation, pipelineBubble } = lossIndex;
/** Longer chains go round in a circle, which only a deadlock closes for good. */
const longestChain = 16;

/** Brings the account of idle matrix cycles up to `now`, from the state since the last call. To be called before the state changes. */
export function account(chip: Chip, now: number): void {
  const from = chip.accounted;
  if (now <= from) return;
  chip.accounted = now;
  let lane = chip.lanes[mxu]!;
  if (lane.state === busy && lane.slot >= 0 && !chip.fifo.starved) return;
  for (let hop = 0; hop < longestChain; hop++) {
    if (lane.state === busy) {
      if (lane.queue !== mxu || !chip.fifo.starved) {
        chip.idle[lane.queue === att ? attentionLoss(chip) : workLoss[lane.queue]!]! += now - from;
        return;
      }
      lane = chip.lanes[wld]!;
    } else if (lane.state === joining) {
      chip.idle[imbalance]! += now - from;
      return;
    } else if (lane.state === finished) {
      lane = afterLast(chip);
      if (lane.state === finished) return settle(chip, wayLoss[lane.queue]!, from, lane.complete, pipelineBubble);
    } else {
      const poster = chip.poster[lane.blockedOn]!;
      if (poster < 0) break;
      if (chip.visible[lane.blockedOn]! > from) return settle(chip, wayLoss[poster]!, from, chip.visible[lane.blockedOn]! - chip.rates.sync);
      lane = chip.lanes[poster]!;
    }
  }
  chip.idle[synchronisation]! += now - from;
}

/** The time since `from`: before `arrival` the result was on the way, from then on the semaphore's news of it, and `then` for what comes after. */
function settle(chip: Chip, loss: number, from: number, arrival: number, then = synchronisation): void {
  const results = spend(chip, loss, from, arrival);
  const news = spend(chip, synchronisation, results, arrival + chip.rates.sync);
  spend(chip, then, news, chip.accounted);
}

/** Books the time from `from` to `to`, as far as it is past; returns where it ends. */
function spend(chip: Chip, loss: number, from: number, to: number): number {
  const end = Math.max(from, Math.min(chip.accounted, to));
  chip.idle[loss]! += end - from;
  return end;
}

/** Where to start when the matrix queue is through: the queue that reports to the host, else one still at it, else the one completing last. */
function afterLast(chip: Chip): Lane {
  let last = chip.lanes[ctl]!;
  if (last.state !== finished) return last;
  for (const lane of chip.lanes) {
    if (lane.state !== finished) return lane;
    if (lane.complete > last.complete) last = lane;
  }
  return last;
}

/** What an `attn` at work is held up by. */
function attentionLoss(chip: Chip): number {
  const cost = chip.attend;
  if (cost === undefined) return lossIndex.attention;
  if (chip.hbm.starved(flowOf(att))) return lossIndex.exposedDma;
  return cost.softmaxCycles > cost.arrayCycles ? lossIndex.softmax : lossIndex.attention;
}
