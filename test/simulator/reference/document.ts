import type { Measured } from './measure.ts';

const percent = (ratio: number): string => `${(100 * ratio).toFixed(1)} %`;
/** How far the event simulator is off, as a fraction of the reference. */
export const difference = ({ event, reference }: Measured): number => event / reference.cycles - 1;

const table = (measured: Readonly<Record<string, Measured>>): string =>
  [
    '| program | reference, cycles | event simulator | difference | two banks shared |',
    '|---|---:|---:|---:|---:|',
    ...Object.entries(measured).map(([name, one]) => `| ${name} | ${one.reference.cycles} | ${one.event} | ${percent(difference(one)).replace(/^-0\.0 /, '0.0 ')} | +${percent(one.shared / one.reference.cycles - 1).replace(/^-/, '')} |`),
  ].join('\n');

/** docs/timing.md. */
export const timingDocument = (suite: Readonly<Record<string, Measured>>, models: Readonly<Record<string, Measured>>): string => `# How time is counted, and how that is checked

Every time \`sohuc\` states comes from one place: the event simulator (\`simulator/timing\`) run over the bytes of the program. It knows
when a queue may issue, what an instruction costs when nothing is in its way (a closed form), and what is in its way. This page has the
closed forms in words ([the manual](isa.md) has each instruction's as a formula), and how far they are from a machine stepped cycle by
cycle. Whether the machine described is the one somebody builds is another question: no figure here is a measurement of silicon.

## The closed forms

A is the side of a matrix array, rows are those of a group of arrays, times are cycles. "Latency" is from the end of the work to the
instruction's posts; those arrive at their waiter \`syncCycles\` later. Queues issue in order and complete in order.

| what | takes | latency |
|---|---|---|
| a weight tile, SRAM to FIFO (\`wld\`) | A: a row a cycle; BF16 twice that; scales of blocks beside it | 0 |
| the same tile, FIFO to the array's shadow registers | A again, as soon as the tile before it starts multiplying; rows pass an empty FIFO without delay | |
| a k-tile of a product (\`mm\`) | its rows, a row a cycle, two if an operand is BF16; the next tile starts when those are in and its weights are: max(rows, A) a tile | 2A - 2 after the last: the last row crosses the array |
| 2^kSplit k-tiles that arrays share (\`wld\`, \`mm\`): a step | as one tile: each array has a FIFO, and operands, of its own | kSplit more: a level of adders a cycle |
| a product of one tile, alone | A + rows + 2A - 2 | |
| draining accumulators (\`epi\`) | its rows, a row a cycle | 32, the pipeline |
| HBM (\`dld\`, \`dst\`, gather, scatter) | bytes / (rate x efficiency of runs so long), rate divided evenly among those that want it | the round trip |
| vector unit | elements x passes / lanes | 32 |
| attention | per sequence the longer of its arrays and its exponentials; no faster than HBM brings keys and values, or latents, once | the round trip |
| loading queries, storing results, reading and storing partials (m, l, O) | a row of each of the unit's arrays a cycle | 0 |
| collective | bytes / link rate, once the last chip of the group is there; an all-gather sends a part to each other chip of it | the hop |
| loops, registers, predicates | nothing: they run ahead | |

A + rows + 2A - 2 is the 2R + C + T - 2 of SCALE-Sim for a weight-stationary array of R = C = A.

Steps follow each other without a pause: the next begins on all chips when the last queue of the last chip has ended this one, and the host is taken to have it ready
([steps](isa.md#steps)). Of several steps all cycles count, those of the first as well: nothing is carried from one to the next but HBM.

## The reference

\`simulator/reference\` is matrix arrays that share k, or one, with their memories, as registers. Each array: A x A cells with a weight at work
and one in shadow; skew registers at the left for activations and at the top for weights; a FIFO that holds rows; read ports of a row of
A bytes a cycle. Behind them: registers in which their sums are added up on the way to the accumulators of the first; these in two banks, each
serving the arrays or the epilogue in a cycle; an epilogue pipeline; an HBM channel that moves a line at a time, of the
queue served least so far. Every cycle all of it moves one step. It runs the same bytes as the other simulators, with semaphores, loops and
registers, and carries values: what it writes to HBM is compared bit for bit with the functional simulator. A cell that met an
activation of another tile than its weight would stop the run. It multiplies E4M3 by E4M3, with scales of blocks of whole tiles or without, and BF16 by BF16, and
refuses other mixtures, which take the same cycles. Units that are not part of an array (vector, attention, host) take
their closed forms, with their HBM traffic on the stepped channel.

What it has shown, and what was changed for it:

- A full FIFO does not let tiles through faster than A cycles each: between FIFO and array they still move a row a cycle. The event
  simulator let products of few rows run up to a quarter too fast after a wait.
- The shadow registers hold a tile beside those in the FIFO, so loading runs one tile further ahead than the FIFO is deep.
- A tile of no rows takes a cycle, not none.
- Sums of a product must not overtake those of the product before, which may be on their way through more levels of adders: it waits
  the difference. The event simulator did not know; chains of short products that differ in kSplit were 1 % too fast.
- Of transfers that share HBM, one that ends within a cycle leaves the rest of the cycle to the others.
- The compiler had put both slots of accumulators into one bank, where drains wait for products: 2 % to 13 % of the small model below.
  They are a bank each now.

## Agreement

Machines of one array, or of as many as share k, 8 x 8 unless said; \`test/simulator/reference/suite.ts\` has each program's parameters. The difference must stay
within 2 % (programs) and 5 % (models); the test that checks it writes this page.

${table(suite)}

The small model is a Llama of three layers (hidden 32, 4 heads, 2 KV heads, inner 48), 19 rows in two sequences, compiled as any model is; its
linear layers, and all of it.

${table(models)}

The last column: how much longer the reference takes when operands, weights and residuals share two rows of A bytes a cycle, the two banks
an array of the described machine has, instead of each unit having a port. The event simulator does not model SRAM banks
(\`timing.sramBankConflicts\` among the assumptions); this is what that leaves out. It matters where residuals are drained after a
single k-tile, and hardly elsewhere. Nor does either model refresh, or the order of requests within HBM: run lengths stand for that.
Drains and products that use one bank of accumulators at once are slowed down in the reference alone; the compiler emits none.

## Speed

\`npm run bench\` bundles the event simulator and runs it in a process of its own. On two cores shared with other work it simulates 7 million
instructions a second once warm (a hand-written step of 177,610 in 23 ms, a step of Llama 70B of 18,484 in 2.7 ms; 4.1 ms when its words
are decoded each time). The first run of a process takes ten to thirty times as long (54 ms and more): decoding, columns and
step tables are a tenth of it, the rest is code the JavaScript engine has not compiled yet, spread evenly over the event loop.

Layers are alike, and only differences of times decide what happens next. Where all queues, flows and events of all chips are as they were some turns of
the layers ago, what came between comes again to the last cycle: it is added up as often as it will, not run (\`simulator/timing/repetition.ts\`). Of 80 layers three or four are run. The critical path is found with every
instruction run.
`;
