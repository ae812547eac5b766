import { type Check, canonicalJson, type Json, integerFrom, listOf, nameOf, numberFrom, record, text } from './json.ts';
import { instructions } from './instructions.ts';
import type { Machine, Quantity } from './machine.ts';

const quantity = (value: Check<number>): Check<Quantity> => record({ value, provenance: nameOf(['published', 'derived', 'assumed']), source: text });

const huge = 2 ** 50;
const rate = quantity(numberFrom(Number.MIN_VALUE, 1e21));
const seconds = quantity(numberFrom(0, 1));
const counted = (most: number): Check<Quantity> => quantity(integerFrom(1, most));

/** Upper bounds come from the fields of the instruction word that have to name the thing. */
const machine: Check<Machine> = record({
  name: text,
  chips: integerFrom(1, 256),
  clockHz: rate,
  arrays: record({ count: counted(2 ** instructions.mm.payload.nTiles.bits), size: counted(2 ** instructions.mm.payload.kLast.bits), bf16Rate: quantity(numberFrom(1e-6, 1)) }),
  accumulatorRows: counted(1024),
  weightFifoTiles: counted(256),
  attention: record({ count: counted(4096), size: counted(4096), kvBytesPerCycle: rate }),
  softmaxPerCycle: rate,
  vectorLanes: counted(2 ** 24),
  sram: record({ bytes: counted(huge), banks: counted(2 ** 16), lineBytes: counted(4096) }),
  hbm: record({
    bytes: counted(huge),
    bytesPerSecond: rate,
    latencySeconds: seconds,
    efficiency: listOf(record({ runBytes: integerFrom(1, huge), fraction: quantity(numberFrom(1e-6, 1)) })),
  }),
  link: record({ bytesPerSecond: rate, latencySeconds: seconds }),
  syncCycles: quantity(integerFrom(0, 2 ** 31)),
});

/** What single numbers cannot say. */
const relations = ({ sram, hbm }: Machine): readonly string[] => {
  const problems: string[] = [];
  const lineBytes = sram.lineBytes.value;
  if (lineBytes < 4 || !Number.isInteger(Math.log2(lineBytes))) problems.push(`\`sram.lineBytes.value\` must be a power of two from 4 on, is ${lineBytes}`);
  if (sram.bytes.value % lineBytes !== 0) problems.push(`\`sram.bytes.value\` must be whole lines of ${lineBytes} bytes, is ${sram.bytes.value}`);
  if (sram.bytes.value / lineBytes > 2 ** 24) problems.push(`\`sram.bytes.value\` must be at most 2^24 lines of ${lineBytes} bytes, is ${sram.bytes.value}`);
  if (hbm.efficiency.length === 0) problems.push('`hbm.efficiency` must have at least one row');
  hbm.efficiency.slice(1).forEach(({ runBytes, fraction }, i) => {
    const longer = hbm.efficiency[i]!;
    if (runBytes >= longer.runBytes) problems.push(`\`hbm.efficiency[${i + 1}].runBytes\` must be below the ${longer.runBytes} before it, is ${runBytes}`);
    if (fraction.value > longer.fraction.value) problems.push(`\`hbm.efficiency[${i + 1}].fraction.value\` must be at most the ${longer.fraction.value} of longer runs, is ${fraction.value}`);
  });
  return problems;
};

/** The machine a parsed JSON file describes, or every reason why it describes none. */
export const parseMachine = (json: unknown): { readonly machine: Machine } | { readonly problems: readonly string[] } => {
  const problems: string[] = [];
  const found = machine(json, '', problems);
  if (problems.length === 0) problems.push(...relations(found));
  return problems.length === 0 ? { machine: found } : { problems };
};

/** The JSON form of a machine: keys sorted, no spaces. `parseMachine(JSON.parse(printMachine(m)))` is m. */
export const printMachine = (described: Machine): string => canonicalJson(described as unknown as Json);
