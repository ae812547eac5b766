import { still } from '../isa-spec/encoding.ts';
import { strideSetMax } from '../isa-spec/fields.ts';
import type { Instruction, StrideSet } from '../isa-spec/instructions.ts';

/** An instruction and the label of what it is part of. Operands name stride sets by their place among all of the queue's. */
export type Word = { readonly instruction: Instruction; readonly label: string };
/** A queue's words in frames, and its stride sets, the first of which moves nothing. `ops`: where the words of tile ops are if subprograms are written out where they are called. */
export type Framed = { readonly words: readonly Word[]; readonly strideSets: readonly StrideSet[]; readonly ops: readonly number[] };

/** What steers a queue: every other instruction is a tile op's. */
const steering: ReadonlySet<Instruction['op']> = new Set(['sync', 'loop', 'call', 'ret', 'sreg', 'salu', 'event']);

/** A subprogram: words in a row, and the stride sets they name, each by its number in their frame. */
type Stretch = { readonly words: Word[]; readonly numbers: Map<number, number> };

/**
 * Code that names more stride sets than a word has numbers for, in frames: what stands outside of loops over tiles is cut into stretches that
 * name no more, and each is a subprogram with a frame of its own. Code that names no more stays as it is. A single node that does has no
 * room, which its words tell.
 */
export function inFrames(code: readonly Word[], sets: readonly StrideSet[]): Framed {
  if (sets.length <= strideSetMax) return { words: code, strideSets: sets.length === 0 ? [] : [still, ...sets], ops: code.flatMap(({ instruction }, pc) => (steering.has(instruction.op) ? [] : [pc])) };
  const main: Word[] = [];
  /** By the number of its call in `main`. */
  const called = new Map<number, Stretch>();
  let open: Stretch | undefined;
  const close = (): void => {
    const label = open?.words[0]?.label;
    if (open !== undefined && label !== undefined) called.set(main.push({ instruction: call, label }) - 1, open);
    open = undefined;
  };
  const add = (words: readonly Word[]): void => {
    const named = new Set(words.flatMap(({ instruction }) => setsOf(instruction)));
    const fresh = [...named].filter((set) => open?.numbers.has(set) !== true).length;
    if (open !== undefined && open.numbers.size + fresh > strideSetMax) close();
    open ??= { words: [], numbers: new Map() };
    open.words.push(...words);
    for (const set of named) if (!open.numbers.has(set)) open.numbers.set(set, open.numbers.size + 1);
  };
  const cut = (begin: number, end: number): void => {
    for (let pc = begin; pc < end; pc++) {
      const { instruction, label } = code[pc] as Word;
      const body = instruction.op === 'loop' ? instruction.fields.body : 0;
      if (instruction.op !== 'loop' || instruction.fields.level !== 0) add(code.slice(pc, pc + 1 + body));
      else {
        close();
        const at = main.push({ instruction, label }) - 1;
        cut(pc + 1, pc + 1 + body);
        close();
        main[at] = { instruction: { ...instruction, fields: { ...instruction.fields, body: main.length - at - 1 } }, label };
      }
      pc += body;
    }
  };
  cut(0, code.length);
  close();
  return linked(main, called, sets);
}

/** The code that calls, then what it calls. */
function linked(main: readonly Word[], called: ReadonlyMap<number, Stretch>, sets: readonly StrideSet[]): Framed {
  const words = [...main, { instruction: ret, label: main.at(-1)?.label ?? '' }];
  const strideSets: StrideSet[] = [still];
  const ops: number[] = [];
  let written = 0;
  main.forEach(({ label }, at) => {
    written++;
    const stretch = called.get(at);
    if (stretch === undefined) return;
    words[at] = { instruction: { ...call, fields: { target: words.length, frame: strideSets.length - 1 } }, label };
    strideSets.push(...[...stretch.numbers.keys()].map((set) => sets[set - 1] as StrideSet));
    stretch.words.forEach(({ instruction }, i) => {
      if (!steering.has(instruction.op)) ops.push(written + i);
    });
    words.push(...stretch.words.map((word) => ({ ...word, instruction: renumbered(word.instruction, stretch.numbers) })), { instruction: ret, label: (stretch.words.at(-1) as Word).label });
    written += stretch.words.length + 1;
  });
  return { words, strideSets, ops };
}

const call = { op: 'call', waits: [], posts: [], fields: { target: 0, frame: 0 } } as const satisfies Instruction;
const ret = { op: 'ret', waits: [], posts: [], fields: {} } as const satisfies Instruction;

/** Whether a field is an operand that a stride set moves. */
const isMoved = (value: unknown): value is { readonly ss: number } => typeof value === 'object' && value !== null && 'ss' in value && value.ss !== 0;
const setsOf = ({ fields }: Instruction): readonly number[] => Object.values(fields).flatMap((value: unknown) => (isMoved(value) ? [value.ss] : []));
const renumbered = (instruction: Instruction, numbers: ReadonlyMap<number, number>): Instruction => {
  const fields = Object.entries(instruction.fields).map(([name, value]: [string, unknown]) => [name, isMoved(value) ? { ...value, ss: numbers.get(value.ss) } : value]);
  return { ...instruction, fields: Object.fromEntries(fields) } as Instruction;
};
