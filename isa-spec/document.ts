import { accuracy } from './accuracy.ts';
import { diagrams } from './diagram.ts';
import { type FieldKind, formats, strideSetMax, strideSetsMax } from './fields.ts';
import { activations, callsMax, hbmBases, hostTables, instructions, type Mnemonic, mnemonics, queues, stepCounts, vectorFunctions, workEntryBytes } from './instructions.ts';
import { type BitRange, common, type FieldPosition, layouts } from './layout.ts';
import { kindSentences, legal, unconditional } from './legal.ts';
import { meaning } from './meaning.ts';

const list = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');
const range = ({ at, bits }: BitRange): string => (bits === 1 ? `${at}` : `${at + bits - 1}:${at}`);

const described = (field: FieldKind): string => {
  switch (field.kind) {
    case 'uint':
      return field.minusOne ? `1 to ${2 ** field.bits}, stored less one` : `0 to ${2 ** field.bits - 1}`;
    case 'f32':
      return 'an FP32 number, finite';
    case 'flag':
      return 'a flag';
    case 'enum':
      return field.names.map((name, code) => `${code} \`${name}\``).join(', ');
    case 'sram':
      return 'an SRAM line, moved by a stride set';
    case 'hbm':
      return 'a base register and a line from there, moved by a stride set';
    case 'acc':
      return 'an accumulator row, moved by a stride set';
    case 'rows':
      return 'a window of rows';
    case 'pc':
      return 'an instruction of the queue, by its number';
  }
};

const fieldRow = ({ name, field, parts }: FieldPosition): string =>
  `| ${parts.map((part) => `${range(part)}${part.name === '' ? '' : ` ${part.name}`}`).join(', ')} | \`${name}\` | ${described(field)}${field.added === true ? '; absent where it is 0' : ''} |`;

const rulesOf = (m: Mnemonic): readonly string[] => (legal[m].length === 0 ? [] : ['', `On a machine, ${m}:`, '', ...legal[m].map((rule) => `- ${rule.says}`)]);

const chapter = (m: Mnemonic): readonly string[] => {
  const { opcode, queues: homes, summary } = instructions[m];
  const { fields, reserved } = layouts[m];
  const table = fields.length === 0 ? [] : ['', '| bits | field | values |', '|---|---|---|', ...fields.map(fieldRow)];
  return [
    '', `### ${m}`, '', `\`0x${opcode.toString(16).padStart(2, '0')}\`, ${homes.length === queues.length ? 'any queue' : `queue ${list(homes)}`}: ${summary}.`,
    '', `![the word of ${m}](isa/${m}.svg)`, ...table, '', `Bits ${reserved.map(range).join(', ')} are zero.`, '', meaning[m], ...rulesOf(m),
  ];
};

const head = `# The instruction set

Generated from the instruction records by \`isa-spec/document.ts\`; do not edit.

A chip has the queues ${list(queues)}, numbered from 0. Each takes its instructions in order and completes them in order. Between
queues nothing is ordered but by semaphores and the weight FIFO. A word is 32 bytes; bit 0 is the lowest of byte 0.

## Every word

![the fields of every word](isa/word.svg)

| bits | field |
|---|---|`;

const rules = `
An instruction with a predicate (1 to 7) has its effect only while that predicate of its queue is true; its waits and posts happen
all the same. 0: no predicate. ${list(unconditional)} have none: others rely on their effects.

A wait holds the instruction until the semaphore's value is at least the count, and takes the count off it, in one step. A post adds
its count once the instruction's effects can be seen. Semaphores are numbered 1 to 255; number 0 means none and then the count is 0;
the second of a pair is used only with the first. The count of a semaphore in use is 1 to 15. Flags fill bits 16 to 31, operands bits
80 to 255, in the order of the tables below from the low end. A bit of no field is zero; a word with such a bit set, with an unknown
opcode or code, or in another queue than it says is illegal.

## Operands

Memory is addressed in lines. A matrix operand is rows at a pitch in lines, its elements packed from the start of each row. A *row
list* is packed 4-byte elements for the whole step, from a line on. A is the side of a matrix array.

**Stride sets.** A queue has up to ${strideSetsMax}. An operand names one of the ${strideSetMax} that follow the frame in force: set n is the queue's set
frame + n; number 0 moves nothing in any frame. Where I[0] to I[3] are the loop counters, a set moves an operand by

    sum I[l] * strides[l] + ring.stride * ((ring.base + sum I[l] * ring.steps[l]) mod ring.depth)

lines (or accumulator rows); a ring of depth 0 is none. Strides are signed, the other numbers are not.

![a stride set](isa/stride-set.svg)

**Subprograms.** The code of a queue is what it begins with, then its subprograms: each the target of some \`call\`, each ending in its one
\`ret\`, as does what comes before the first. Loops are wholly inside or outside of each. A subprogram calls others, ${callsMax} calls deep,
but never itself, not through others either. So code with calls is short for the code with every subprogram written out where it is called.

**Frames.** A step begins in frame 0. \`call\` adds its frame to the caller's, \`ret\` takes it off again: a subprogram called from another is
moved along with it. So one body runs on other addresses: its operands name sets 1, 2, ..., and each caller has its own, from the
set after its frame on. A set moves by a constant if its ring has a base and no steps: ring.stride * (ring.base mod ring.depth).
What names no set (lists, work lists, operands of set 0) is the same in every frame.

**Windows.** \`rows\` is a bound, shortened when the step is run to min(max, max(0, R[reg] - max * I[level])) rows; the first is row
max * I[level] of the step. Operands that are row lists use their elements from that row on, matrix operands are moved by their
stride sets alone. Rows beyond the count are neither read nor written; waits and posts happen even if there are none.

**Base registers.** ${list(hbmBases)}, from 0. The loader sets each to a region of HBM; leaving the region is a fault.

**Registers.** Each queue has R0 to R31 and predicates P1 to P7. R0 is 2^32 - 1; predicates are false when a step begins. Counts a step has: ${list(stepCounts)}.

**Tables of a step.** ${list(hostTables)}. An entry of the work list has ${workEntryBytes} bytes: u32 first row, rows, keys (past and new), position of the first
row, first page (index into \`pages\`), then zeros.

**Formats.** ${list(formats)}. bf16 rounds to nearest, ties to even. e4m3 is E4M3FN: likewise, saturating at +-448, NaN is 0x7F, subnormals kept. e5m2 has a
range up to 57344, where it saturates too, infinities included; NaN is 0x7E. ue8m0 is a power of two, 2^(code - 127), 0xFF being NaN: a scale of a block.

**Functions.** ${list([...new Set([...vectorFunctions, ...activations])])}; \`isa-spec/numerics.ts\` and \`numerics-vector.ts\` define each to the bit. Results of
those that are no single operation, and of what softmax and rope use, are at most this far from the exact value, in units of its last
FP32 place (half a unit is a correct rounding); \`docs/numerics.md\` has the inputs they are at and the hashes of all results.

| function | over all BF16 inputs | not the nearest | over 65,536 FP32 inputs | not the nearest |
|---|---|---|---|---|
${Object.entries(accuracy).map(([name, { bf16, f32 }]) => `| \`${name}\` | ${bf16.ulps.toFixed(6)} | ${bf16.misrounded} | ${f32.ulps.toFixed(6)} | ${f32.misrounded} |`).join('\n')}

`;

/** The manual of the instruction set, as Markdown. */
const manual = (): string =>
  [
    head,
    ...Object.entries(common).map(([name, bits]) => `| ${range(bits)} | \`${name}\` |`),
    rules.trimEnd(),
    '',
    'On any machine:',
    '',
    ...Object.entries(kindSentences).map(([kind, sentence]) => `- an operand of kind ${kind} ${sentence}`),
    '',
    '## Instructions',
    '',
    '| op | instruction | queue | summary |',
    '|---|---|---|---|',
    ...mnemonics.map((m) => `| \`0x${instructions[m].opcode.toString(16).padStart(2, '0')}\` | [${m}](#${m}) | ${instructions[m].queues.length === queues.length ? 'any' : instructions[m].queues.join(', ')} | ${instructions[m].summary} |`),
    ...mnemonics.flatMap(chapter),
    '',
  ].join('\n');

/** The manual and its pictures, by their place in `docs/`. */
export const isaManual = (): Readonly<Record<string, string>> => ({
  'isa.md': manual(),
  ...Object.fromEntries(Object.entries(diagrams()).map(([name, svg]) => [`isa/${name}.svg`, svg])),
});
