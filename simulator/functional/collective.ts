import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { firstOf, membersOf, reachOf, shareOf } from '../../isa-spec/groups.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { SimulationFault } from '../fault.ts';
import { viewsOf } from '../memory.ts';
import { readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, type Chip, type Offer, type QueueState, windowOf } from './state.ts';

type Fields = InstructionOf<'coll'>['fields'];

/** The rows a chip of `chips` brings to a collective. */
export const offerOf = (chip: Chip, queue: QueueState, fields: Fields, chips: number): Offer => {
  const { kind, format = 'f32', root = 0, peer = 0, group = 0, src, srcPitch, bytes: rowBytes, tag, rows: window } = fields;
  if (group > 0 && chips % group !== 0) throw new SimulationFault('collective', `${chips} chips are not groups of ${group}`);
  const members = membersOf(fields, chips);
  const { first, rows: count } = windowOf(queue, window);
  const rows = kind === 'shift' ? window.max : kind === 'collect' || kind === 'collectlist' ? shareOf(count, members) : count;
  const bytes = new Uint8Array(rows * rowBytes);
  const line = addressOf(queue, src);
  const list = line * chip.geometry.lineBytes + (first / window.max) * shareOf(window.max, members) * rowBytes;
  for (let r = 0; r < rows; r++) {
    const at = kind === 'collectlist' ? chip.sram.range(list + r * rowBytes, rowBytes) : chip.sram.at(line + r * srcPitch, rowBytes);
    bytes.set(chip.sram.views.u8.subarray(at, at + rowBytes), r * rowBytes);
  }
  return { what: `${kind} of ${format} from ${root} to ${peer}${group === 0 ? '' : ` in groups of ${group}`}`, members, tag, rows, rowBytes, bytes };
};

const agree = (offers: readonly Offer[], own: Offer, first: number): void => {
  for (const [place, offer] of offers.entries()) {
    if (offer.tag !== own.tag || offer.rows !== own.rows || offer.rowBytes !== own.rowBytes || offer.what !== own.what) {
      throw new SimulationFault('collective', `brings ${own.rows} rows of ${own.rowBytes} bytes under tag ${own.tag} for ${own.what}, chip ${first + place} brings ${offer.rows} of ${offer.rowBytes} under ${offer.tag} for ${offer.what}`);
    }
  }
};

/** The sum over ranks of what all brought: FP32 from the first rank's on, rounded to the format once. */
const reduced = (offers: readonly Offer[], format: Format): Uint8Array => {
  const bytes = offers[0]!.bytes.length;
  const count = bytes / formatBytes[format];
  const raw = viewsOf(bytes);
  const [sums, next] = [new Float64Array(count), new Float64Array(count)];
  offers.forEach((offer, rank) => {
    raw.u8.set(offer.bytes);
    readElements[format](raw, 0, count, rank === 0 ? sums : next);
    if (rank > 0) for (let i = 0; i < count; i++) sums[i] = Math.fround(sums[i]! + next[i]!);
  });
  writeElements[format](raw, 0, count, sums);
  return raw.u8.subarray(0, bytes);
};

const part = (own: Offer, chips: number, format: Format): number => {
  if (own.rowBytes % (chips * formatBytes[format]) !== 0) throw new SimulationFault('collective', `${own.rowBytes} bytes are not ${chips} equal parts of ${format}`);
  return own.rowBytes / chips;
};

const offerFrom = (offers: readonly Offer[], place: number): Offer => {
  const offer = offers[place];
  if (offer === undefined) throw new SimulationFault('collective', `names chip ${place} of ${offers.length}`);
  return offer;
};

/** Does with what the chips that meet brought as the kind says. */
export const coll: Execute<'coll'> = (chip, queue, fields) => {
  const { kind, format = 'f32', root = 0, peer = 0, out, outPitch, rows: window } = fields;
  const offers = chip.gathered;
  const first = firstOf(chip.rank, offers.length);
  const place = chip.rank - first;
  const own = offers[place]!;
  agree(offers, own, first);
  const line = addressOf(queue, out);
  /** `length` bytes of each row, `from` on, go to its place in `out`, `column` on. */
  const put = (bytes: Uint8Array, from: number, length: number, column: number): void => {
    for (let r = 0; r < bytes.length / own.rowBytes; r++) {
      const at = chip.sram.writingRange((line + r * outPitch) * chip.geometry.lineBytes + column, length);
      chip.sram.views.u8.set(bytes.subarray(r * own.rowBytes + from, r * own.rowBytes + from + length), at);
    }
  };
  switch (kind) {
    case 'allgather':
      return offers.forEach((offer, of) => put(offer.bytes, 0, own.rowBytes, of * own.rowBytes));
    case 'allreduce':
      return put(reduced(offers, format), 0, own.rowBytes, 0);
    case 'reducescatter': {
      const length = part(own, offers.length, format);
      return put(reduced(offers, format), place * length, length, 0);
    }
    case 'broadcast':
      return put(offerFrom(offers, root).bytes, 0, own.rowBytes, 0);
    case 'send': {
      const sent = offerFrom(offers, root);
      offerFrom(offers, peer);
      return place === peer ? put(sent.bytes, 0, own.rowBytes, 0) : undefined;
    }
    case 'exchange': {
      const share = shareOf(own.rows, offers.length);
      for (let i = 0; i < share; i++) {
        const r = place * share + i;
        const at = chip.sram.writing(line + i * outPitch, offers.length * own.rowBytes);
        offers.forEach((offer, of) => chip.sram.views.u8.fill(0, at + of * own.rowBytes, at + (of + 1) * own.rowBytes).set(offer.bytes.subarray(r * own.rowBytes, (r + 1) * own.rowBytes), at + of * own.rowBytes));
      }
      return;
    }
    case 'collect':
    case 'collectlist': {
      const { first: from, rows } = windowOf(queue, window);
      for (let r = 0; r < rows; r++) {
        const at = kind === 'collect' ? chip.sram.writing(line + r * outPitch, own.rowBytes) : chip.sram.writingRange(line * chip.geometry.lineBytes + (from + r) * own.rowBytes, own.rowBytes);
        const i = r % own.rows;
        chip.sram.views.u8.set(offers[Math.floor(r / own.rows)]!.bytes.subarray(i * own.rowBytes, (i + 1) * own.rowBytes), at);
      }
      return;
    }
    case 'shift':
      return place < reachOf(fields) ? undefined : put(offerFrom(offers, place - reachOf(fields)).bytes.subarray(0, windowOf(queue, window).rows * own.rowBytes), 0, own.rowBytes, 0);
  }
};
