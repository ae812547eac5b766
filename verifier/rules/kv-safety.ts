import { formatBytes } from '../../isa-spec/fields.ts';
import { type HbmBase, hbmBases, type HostTable, type InstructionOf, isWorklist, workEntryBytes } from '../../isa-spec/instructions.ts';
import { type ChipView, type Finding, nameOf, placeOf, type QueueView } from '../chip.ts';
import { still } from '../../isa-spec/encoding.ts';

/** A pool some attention reads, and the host's table of its pages. */
type Kv = { readonly off: number; readonly strides: string; readonly fields: InstructionOf<'attn'>['fields']; readonly pages: HostTable | undefined };

/** The tables that go with a table of pages: one is of the sequences' own rows, the other of their memory. */
const lists = { pages: { slots: 'slots', worklist: 'worklist' }, memoryPages: { slots: 'memorySlots', worklist: 'memoryWorklist' } } as const;
const listsWith = (pages: HostTable | undefined): (typeof lists)[keyof typeof lists] | undefined => (pages === 'pages' || pages === 'memoryPages' ? lists[pages] : undefined);

/**
 * V19, as far as it can be known before a step. Keys and values go to, and come from, pages of one layout; rows, pages and work
 * lists are those of the host's tables for it, copied whole. Rows of bins come from scratch and go there, or are read back by their places, weights of their owners come from weights,
 * places that are nobody's left out. That slots are apart, pages allocated and lists in range is
 * the host's promise for each step, which the loader's step-control block is checked for.
 */
export function kvSafety(chip: ChipView): readonly Finding[] {
  const hosts = listsOf(chip);
  const binned = binListsOf(chip);
  const { bounds } = chip.program.entries[chip.entry]!;
  const pools = chip.queues.flatMap(({ code, strideSets }) => code.flatMap((instruction): readonly Kv[] => (instruction.op === 'attn' ? [kvOf(instruction.fields, strideSets, hosts)] : [])));
  return chip.queues.flatMap((view) => view.code.flatMap((instruction, pc): readonly Finding[] => {
    const from = (field: string, line: number, tables: readonly HostTable[]): readonly string[] => {
      const table = hosts.get(line);
      return table !== undefined && tables.includes(table) ? [] : [`\`${field}\` is ${table === undefined ? 'no list of the host\'s' : `the host's list of ${table}`}, not that of ${tables.join(' or ')}`];
    };
    const problems = ((): readonly string[] => {
      switch (instruction.op) {
        case 'hostw': return wholeProblems(instruction.fields, bounds);
        case 'dgat': {
          const { index, oob, src } = instruction.fields;
          const problems = from('index', index, ['ids', 'positions', 'types', 'samples']);
          return problems.length > 0 && binned.has(index) ? binProblems(oob, hbmBases[src.base], binned.get(index)!.has('owners') ? ['scratch', 'weights'] : ['scratch']) : problems;
        }
        case 'dsct': {
          const { index, oob, dst } = instruction.fields;
          const slots = hosts.get(index);
          if (slots !== 'slots' && slots !== 'memorySlots' && binned.get(index)?.has('targets') === true) return binProblems(oob, hbmBases[dst.base], ['scratch']);
          return [...from('index', index, ['slots', 'memorySlots']), ...appendProblems(instruction.fields, view, pools, slots)];
        }
        case 'aq': return from('worklist', instruction.fields.worklist, ['worklist', 'memoryWorklist']);
        case 'attn': return [
          ...from('pages', instruction.fields.pages, ['pages', 'memoryPages']),
          ...otherQueries(view, pc, hosts, hosts.get(instruction.fields.pages)),
          ...(instruction.fields.pageRows === bounds['pageRows'] ? [] : [`has pages of ${instruction.fields.pageRows} rows; the entry's have ${bounds['pageRows']}`]),
          ...(planesOf(instruction.fields) === (bounds['pagePlanes'] ?? 2) ? [] : [`has pages of ${planesOf(instruction.fields)} planes; the entry's have ${bounds['pagePlanes'] ?? 2}`]),
        ];
        default: return [];
      }
    })();
    return problems.map((problem) => ({ rule: 'V19', place: placeOf(chip, view.queue, pc), message: `${nameOf(chip, view.queue, pc)}: ${problem}`, notes: [] }));
  }));
}

/** The host's lists by the SRAM lines they are in: of a list of rows a part of the step's rows begins on a line further on. */
function listsOf({ queues, program }: ChipView): ReadonlyMap<number, HostTable> {
  const line = program.machine.sram.lineBytes.value;
  const lists = queues.flatMap(({ code }) => code.flatMap((instruction) => (instruction.op === 'hostw' ? [instruction.fields] : [])));
  return new Map(lists.flatMap(({ dst, table, bytes }) => {
    const reach = table === 'worklist' || table === 'memoryWorklist' || table === 'pages' || table === 'memoryPages' ? 1 : Math.ceil(bytes / line);
    return Array.from({ length: reach }, (_, i) => [dst.addr + i, table] as const);
  }));
}

type BinList = 'sources' | 'targets' | 'places' | 'owners';

/** What the lists of `bin`s are, by the SRAM line they start at; and of other lists at other times. */
function binListsOf({ queues }: ChipView): ReadonlyMap<number, ReadonlySet<BinList>> {
  const lists = new Map<number, Set<BinList>>();
  const add = (line: number, list: BinList): unknown => lists.set(line, (lists.get(line) ?? new Set()).add(list));
  for (const { code } of queues) {
    for (const { op, fields } of code) {
      if (op !== 'bin') continue;
      add(fields.sources, 'sources');
      add(fields.targets, fields.inverse === true ? 'places' : 'targets');
      add(fields.owners, 'owners');
    }
  }
  return lists;
}

const binProblems = (oob: 'fault' | 'skip' | undefined, base: HbmBase | undefined, bases: readonly HbmBase[]): readonly string[] => [
  ...(oob === 'skip' ? [] : ['has an index for places of bins, and would fault at those that are nobody\'s']),
  ...(base !== undefined && bases.includes(base) ? [] : [`moves rows of bins by \`${base}\`, not ${bases.join(' or ')}`]),
];

const planesOf = ({ latent }: Kv['fields']): number => (latent === true ? 1 : 2);

const stridesText = (ss: number, strideSets: QueueView['strideSets']): string => (strideSets[ss] ?? still).strides.join(' ');
const kvOf = (fields: InstructionOf<'attn'>['fields'], strideSets: QueueView['strideSets'], hosts: ReadonlyMap<number, HostTable>): Kv => ({ off: fields.kv.off, strides: stridesText(fields.kv.ss, strideSets), fields, pages: hosts.get(fields.pages) });

/** The queries before an attention are by the work list that goes with its pages. */
function otherQueries({ code }: QueueView, pc: number, hosts: ReadonlyMap<number, HostTable>, pages: HostTable | undefined): readonly string[] {
  const query = code.slice(0, pc).findLast(({ op }) => op === 'aq');
  const wanted = listsWith(pages)?.worklist;
  const table = query?.op === 'aq' ? hosts.get(query.fields.worklist) : undefined;
  return wanted === undefined || table === undefined || table === wanted ? [] : [`reads ${pages ?? ''} for queries by ${table}`];
}

function wholeProblems({ table, bytes }: InstructionOf<'hostw'>['fields'], bounds: Readonly<Record<string, number>>): readonly string[] {
  const elements = { ids: 'tokens', positions: 'tokens', types: 'tokens', slots: 'tokens', samples: 'samples', worklist: 'sequences', pages: 'pageListEntries', memorySlots: 'memory', memoryWorklist: 'sequences', memoryPages: 'pageListEntries' } as const satisfies Record<HostTable, string>;
  const count = bounds[elements[table]];
  const each = isWorklist(table) ? workEntryBytes : formatBytes.i32;
  return count === undefined || bytes === count * each ? [] : [`copies ${bytes} bytes of ${table}; a step has up to ${count * each}`];
}

/** A scatter to the pool writes the key plane, or the value plane, of the pool some attention reads, in its pitch. */
function appendProblems({ dst, dstPitch, lines }: InstructionOf<'dsct'>['fields'], { strideSets }: QueueView, pools: readonly Kv[], slots: HostTable | undefined): readonly string[] {
  if (hbmBases[dst.base] !== 'kv') return [`scatters to \`${hbmBases[dst.base]}\`, not to a pool of keys and values`];
  const strides = stridesText(dst.ss, strideSets);
  const near = pools.filter(({ off, strides: moves, fields }) => moves === strides && (dst.off === off || (planesOf(fields) === 2 && dst.off === off + fields.pageRows * fields.kvLines)));
  if (pools.length > 0 && near.length === 0) return ['scatters to neither plane of a pool that is read'];
  if (near.some(({ pages }) => (listsWith(pages)?.slots ?? slots) !== slots)) return [`scatters by ${slots ?? 'no slots'} to a pool whose pages are others`];
  return near.some(({ fields: { kvLines } }) => dstPitch !== kvLines || lines > kvLines) ? ['scatters rows of another pitch than attention reads'] : [];
}
