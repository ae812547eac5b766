import { accuracy } from './accuracy.ts';
import { chapter, list, opcodeOf, queuesOf, range, table } from './chapter.ts';
import { diagrams } from './diagram.ts';
import { formatBytes, formats, strideSetMax, strideSetsMax } from './fields.ts';
import { activations, callsMax, hbmBases, hostTables, instructions, mnemonics, queues, stepCounts, vectorFunctions, workEntryBytes } from './instructions.ts';
import { common } from './layout.ts';
import { kindSentences, unconditional } from './legal.ts';
import { sohu8 } from './machines/sohu.ts';
import { functions, quantities } from './names.ts';

/** What each field of every word says. */
const commonSays: { readonly [F in keyof typeof common]: string } = {
  op: 'which instruction',
  queue: 'the queue it is in',
  predicate: 'the predicate it has its effect under; 0: none',
  wait0: 'a semaphore to take from; 0: none',
  wait1: 'another',
  post0: 'a semaphore to give to; 0: none',
  post1: 'another',
  waitCount0: 'how much to take from `wait0`',
  waitCount1: 'how much to take from `wait1`',
  postCount0: 'how much to give to `post0`',
  postCount1: 'how much to give to `post1`',
};

const formatSays: { readonly [F in (typeof formats)[number]]: string } = {
  f32: 'IEEE binary32',
  bf16: 'its upper half; rounds to nearest, ties to even',
  e4m3: 'E4M3FN: rounds likewise, saturating at +-448; NaN is 0x7F; subnormals kept',
  i32: 'a signed integer',
  e5m2: 'rounds likewise, saturating at +-57344, infinities included; NaN is 0x7E',
  ue8m0: 'a power of two, 2^(code - 127); 0xFF is NaN: the scale of a block',
};

const everyWord = `# The instruction set

Generated from the records of \`isa-spec/\` by \`isa-spec/document.ts\`; do not edit.

A chip has the queues ${list(queues)}, numbered from 0. Each takes its instructions in order and completes them in order. Between
queues nothing is ordered but by semaphores and the weight FIFO. A word is 32 bytes; bit 0 is the lowest of byte 0.

[Every word](#every-word) · [Operands](#operands) · [Numbers](#numbers) · [What a chapter says](#what-a-chapter-says) · [Instructions](#instructions)

## Every word

![the fields of every word](isa/word.svg)
${table(['bits', 'field', 'is'], Object.entries(common).map(([name, bits]) => [range(bits), `\`${name}\``, commonSays[name as keyof typeof common]])).join('\n')}

Flags and operands are packed in the order of each instruction's table, from their low ends. A bit of no field is zero. A word with such
a bit set, with an unknown opcode or code, or in another queue than it says is illegal.

**Waits and posts.** An instruction begins when each of its semaphores has at least the count it waits for, and takes the counts off, all in
one step. It adds its posts once its effects can be seen. Semaphores are 1 to 255, a count in use is 1 to 15; number 0 means none, and then
its count is 0. The second of a pair is used only with the first.

**Predicates.** An instruction with a predicate has its effect only while that predicate of its queue is true; it waits and posts all the
same. ${list(unconditional)} have none: others rely on their effects.`;

const operands = `## Operands

Memory is addressed in lines. A *matrix* is rows at a pitch in lines, its elements packed from the start of each row. A *row list* is packed
4-byte elements for the whole step, from a line on. A is the side of a matrix array.

### Windows

\`rows\` is a bound, \`max\`, shortened when the step is run. A window has

    count = min(max, max(0, R[reg] - max * I[level]))

rows; the first is row \`first\` = max * I[level] of the step. Row lists are used from that element on; matrices are moved by their stride
sets alone. Rows from \`count\` on are neither read nor written. Waits and posts happen even if there are none.

### Stride sets

A queue has up to ${strideSetsMax}. An operand names one of the ${strideSetMax} that follow the frame in force: set n is the queue's set frame + n; number 0 moves
nothing in any frame. Where I[0] to I[3] are the loop counters, a set moves an operand by

    sum I[l] * strides[l] + ring.stride * ((ring.base + sum I[l] * ring.steps[l]) mod ring.depth)

lines (or accumulator rows); a ring of depth 0 is none. Strides are signed, the other numbers are not.

![a stride set](isa/stride-set.svg)

### Subprograms and frames

The code of a queue is what it begins with, then its subprograms: each the target of some \`call\`, each ending in its one \`ret\`, as does what
comes before the first. Loops are wholly inside or outside of each. A subprogram calls others, ${callsMax} calls deep, but never itself, not
through others either. So code with calls is short for the code with every subprogram written out where it is called.

A step begins in frame 0. \`call\` adds its frame to the caller's, \`ret\` takes it off again: a subprogram called from another is moved along
with it. So one body runs on other addresses: its operands name sets 1, 2, ..., and each caller has its own, from the set after its frame
on. A set moves by a constant if its ring has a base and no steps: ring.stride * (ring.base mod ring.depth). What names no set (lists,
work lists, operands of set 0) is the same in every frame.

### Registers, HBM, tables of a step

- Each queue has R0 to R31 and predicates P1 to P7. R0 is 2^32 - 1; predicates are false when a step begins.
- \`sreg\` and \`salu\` set registers, from the step's counts and from each other, never from loop counters or memory. So what a register
  holds where it is read is a function of the step's counts, the same in every turn of the loops around: a program that sets one later in a
  loop than it reads it there is refused. \`salu\` says what range its result is in; leaving it is a fault, which the verifier proves impossible.
- Base registers are ${list(hbmBases)}, from 0. The loader sets each to a region of HBM; leaving the region is a fault.
- A step has the counts ${list(stepCounts)} and the tables ${list(hostTables)}.
- An entry of the work list has ${workEntryBytes} bytes: u32 first row, rows, keys (past and new), position of the first row, first page (index into
  \`pages\`), then zeros.

### Steps

The host has a program run steps, one after the other. In a step every chip runs the code of an entry that is its own, by a step-control block that is its own. A queue
has ended its step at the end of its code; the step has ended when all queues of all chips have and every post has arrived, and no sooner does the
next begin: what its first stage takes in is what the last has given out. Then there are no tokens, nothing is in the weight FIFOs, registers and predicates are as
above, and SRAM and accumulators hold nothing to rely on; HBM holds what it held.

An entry may lend matrix arrays to the attention unit: all but a half, a quarter or an eighth of them. While a chip runs it, a product's groups of arrays are of those that are left, and each that is lent is
floor(A / attentionSide)^2 arrays of the attention unit, loaded like them. Nothing else depends on it: results are the same.

### On any machine

${Object.entries(kindSentences).map(([kind, sentence]) => `- an operand of kind ${kind} ${sentence}`).join('\n')}`;

const numbers = `## Numbers
${table(['code', 'format', 'bytes', 'is'], formats.map((format, i) => [`${i}`, `\`${format}\``, `${formatBytes[format]}`, formatSays[format]])).join('\n')}

In what instructions do:

- \`fround(x)\` is one rounding to FP32, ties to even; \`store(format, x)\` one rounding to the format.
- \`x <- y\` sets x. Operands are rows of elements: \`x[r, c]\` is element c of row r of the window. \`[a, b)\` is a to b - 1.
- *lanes*: lane j of 16 takes elements j, j + 16, ... of a row, in this order; then lane j takes lane j + 8, then + 4, + 2, + 1; lane 0 has the
  result. \`lanes(x)\` adds up so, from +0, each sum rounded to FP32.
- An exact sum, or an exact quotient, is that of the real numbers.

The functions are ${list([...new Set([...vectorFunctions, ...activations])])}; \`isa-spec/numerics.ts\` and \`numerics-vector.ts\` define each to
the bit. Results of those that are no single operation, and of what softmax and rope use, are at most this far from the exact value, in
units of its last FP32 place (half a unit is a correct rounding); [numerics.md](numerics.md) has the inputs they are at and the hashes of
all results.
${table(['function', 'over all BF16 inputs', 'not the nearest', 'over 65,536 FP32 inputs', 'not the nearest'], Object.entries(accuracy).map(([name, { bf16, f32 }]) => [`\`${name}\``, bf16.ulps.toFixed(6), `${bf16.misrounded}`, f32.ulps.toFixed(6), `${f32.misrounded}`])).join('\n')}`;

const figure = (value: number): string => `${Math.round(value * 100) / 100}`;

const reading = `## What a chapter says

**Memory.** Everything an instruction may touch, by operand: how many rows, of how many lines each, how far apart, from where the operand
points; of accumulators, in every array that takes part. *Some of*, *any*: which, the data say. An instruction whose window is empty
touches no memory (but for what \`route\` and \`bin\` say of no rows: \`offsets\`, and the lists of bins).

**Tokens and state.** What it takes before it begins, waiting until it is there; what it gives when its effects can be seen; which other
state of queue and chip it depends on and changes. Loop counters count wherever an operand names a stride set.

**Cost.** Cycles its unit is occupied, and from then until its posts leave, when nothing else wants what it wants; posts arrive
${sohu8.syncCycles.value} cycles later. Instructions of a queue overlap in their latency alone. What happens when units share HBM, and how far all
this is from a machine stepped cycle by cycle: [timing.md](timing.md).

Formulas name fields, the window's \`max\`, \`count\` and \`first\`, fields of the \`aq\` before (\`aq.heads\`), what the host brings (\`length\` of
a table in bytes, \`sequences\`, \`pageListEntries\`), \`rank\` of the chip, and of the machine:
${table(['name', 'is', sohu8.name], Object.entries(quantities).map(([name, { says, of }]) => [`\`${name}\``, says, figure(of(sohu8, sohu8.chips))])).join('\n')}

\`a ? b : c\` is b if a, else c; \`x = a | b\` is true of either; flags are 0 or 1, what is absent is 0, or the first of its words;
\`sum(list, x)\` adds x up for each of a list, whose members have names of their own.
${table(['', 'is'], Object.entries(functions).map(([call, { says }]) => [`\`${call}\``, says])).join('\n')}

On ${sohu8.name} \`efficiency\` is ${sohu8.hbm.efficiency.map(({ runBytes, fraction }) => `${fraction.value} of runs of ${runBytes} bytes`).join(', ')} or more, and no less for shorter ones.`;

/** The manual of the instruction set, as Markdown. */
const manual = (): string =>
  [
    ...[everyWord, operands, numbers, reading].flatMap((part) => [part, '']), '## Instructions',
    ...table(['op', 'instruction', 'queue', 'in short'], mnemonics.map((m) => [opcodeOf(m), `[${m}](#${m})`, queuesOf(m), instructions[m].summary])),
    ...mnemonics.flatMap(chapter), '',
  ].join('\n');

/** The manual and its pictures, by their place in `docs/`. */
export const isaManual = (): Readonly<Record<string, string>> => ({
  'isa.md': manual(),
  ...Object.fromEntries(Object.entries(diagrams()).map(([name, svg]) => [`isa/${name}.svg`, svg])),
});
