import { leastCosine } from './programs.ts';
import type { Score } from './score.ts';
import { blockKinds, type Counts } from './truth.ts';

/** Recall of a kind: of the blocks known to be there, those found; null where none is known. */
export type Summary = {
  readonly files: number;
  readonly recognised: number;
  readonly partial: number;
  readonly refused: number;
  readonly failed: number;
  readonly unsound: number;
  readonly compared: number;
  readonly rows: number;
  /** Of the programs that were compiled and run: results within the tolerance, beyond it, failures of the compiler, and those with nothing to compare with. */
  readonly programs: { readonly right: number; readonly wrong: number; readonly failed: number; readonly uncompared: number };
  readonly recall: Readonly<Record<keyof Counts, number | null>>;
  readonly milliseconds: number;
  readonly peakMegabytes: number;
};

export function summary(scores: readonly Score[]): Summary {
  const count = (is: (score: Score) => boolean): number => scores.filter(is).length;
  return {
    files: scores.length,
    recognised: count(({ status }) => status === 'recognised'),
    partial: count(({ status }) => status === 'partial'),
    refused: count(({ status }) => status === 'refused'),
    failed: count(({ status }) => status === 'failed'),
    unsound: count(({ unsound }) => unsound),
    compared: count(({ error }) => error !== undefined),
    rows: count(({ rows }) => rows),
    programs: {
      right: count(({ program }) => program !== undefined && 'cosine' in program && program.cosine >= leastCosine),
      wrong: count(({ program }) => program !== undefined && 'cosine' in program && !(program.cosine >= leastCosine)),
      failed: count(({ program }) => program !== undefined && 'failed' in program),
      uncompared: count(({ program }) => program !== undefined && 'skipped' in program),
    },
    recall: Object.fromEntries(blockKinds.map((kind) => [kind, recallOf(scores, kind)])) as Summary['recall'],
    milliseconds: Math.round(scores.reduce((sum, { milliseconds }) => sum + milliseconds, 0)),
    peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

function recallOf(scores: readonly Score[], kind: keyof Counts): number | null {
  const known = scores.flatMap(({ truth, found }) => (truth === undefined ? [] : [{ wanted: truth[kind], got: Math.min(truth[kind], found?.[kind] ?? 0) }]));
  const wanted = known.reduce((sum, each) => sum + each.wanted, 0);
  return wanted === 0 ? null : known.reduce((sum, each) => sum + each.got, 0) / wanted;
}

/** The tools whose counts were published beside the corpus, in its order: attention/norm/rotation/gelu. */
const tools = ['ORT-python', 'ORT-C++ EXTENDED', 'onnxscript ort_fusions'] as const;
const anchored = ['attention', 'norm', 'rope', 'activation'] as const;

export function scoreTable(scores: readonly Score[], total: Summary): string {
  const exporters = [...new Set(scores.map(({ file }) => exporterOf(file)))].toSorted();
  const head = ['exporter', 'files', 'refused', 'unsound', 'rows', 'programs', ...blockKinds, ...tools];
  const lines = exporters.map((name) => {
    const of = scores.filter(({ file }) => exporterOf(file) === name);
    return row(name, of, summary(of));
  });
  const strange = scores.flatMap(({ file, program }) => {
    if (program === undefined || ('cosine' in program && program.cosine >= leastCosine)) return [];
    return [`PROGRAM ${file}: ${'cosine' in program ? `cosine ${program.cosine}` : 'failed' in program ? program.failed : program.skipped}`];
  });
  const misses = scores.filter(({ status, unsound }) => status === 'partial' || status === 'failed' || unsound);
  return [
    table([head, ...lines, row('all', scores, total)]),
    '',
    ...strange,
    ...misses.map((each) => `${each.unsound ? 'UNSOUND' : each.status.toUpperCase()} ${each.file}: ${missOf(each)}`),
    `${total.files} files: ${total.recognised} recognised, ${total.partial} in part, ${total.refused} refused, ${total.failed} failed, ${total.unsound} unsound of ${total.compared} compared; ${total.rows} wholly row ops${programsText(total)}; ${total.milliseconds} ms, peak ${total.peakMegabytes} MB`,
  ].join('\n');
}

const programsText = ({ programs: { right, wrong, failed, uncompared } }: Summary): string =>
  right + wrong + failed + uncompared === 0 ? '' : `, of whose programs ${right} reach a cosine of ${leastCosine} to what is stored, ${wrong} do not, ${failed} failed and ${uncompared} have nothing to compare with`;

const percent = (recall: number | null): string => (recall === null ? '.' : `${Math.floor(recall * 1000) / 10} %`);

function row(name: string, of: readonly Score[], { files, refused, unsound, rows, programs, recall }: Summary): readonly string[] {
  return [name, String(files), String(refused), String(unsound), String(rows), String(programs.right), ...blockKinds.map((kind) => percent(recall[kind])), ...tools.map((tool) => anchorOf(of, tool))];
}

/** Another tool's recall of the same graphs, kind by kind; where it failed it fused nothing. */
function anchorOf(scores: readonly Score[], tool: (typeof tools)[number]): string {
  const known = scores.flatMap(({ truth, anchors }) => (truth === undefined || anchors?.[tool] === undefined ? [] : [{ truth, fused: anchors[tool].split('/').map(Number) }]));
  if (known.length === 0) return '.';
  return anchored.map((kind, i) => {
    const wanted = known.reduce((sum, { truth }) => sum + truth[kind], 0);
    const got = known.reduce((sum, { truth, fused }) => sum + Math.min(truth[kind], fused[i] || 0), 0);
    return wanted === 0 ? '.' : Math.floor((got / wanted) * 100);
  }).join('/');
}

/** What made a file, as its name says: TorchScript, dynamo below and from opset 23 on, or the folder it is in. */
function exporterOf(file: string): string {
  if (/-ts-/.test(file)) return 'TorchScript';
  const opset = /-dyn(?:raw)?-.*-op(\d+)/.exec(file)?.[1];
  if (opset !== undefined) return Number(opset) < 23 ? 'dynamo, opset < 23' : 'dynamo, opset >= 23';
  return file.split('/').slice(0, -2).join('/') || '.';
}

function missOf({ found, truth, error, unsound, notes }: Score): string {
  if (unsound) return `differs by ${error?.toPrecision(2)}`;
  if (found === undefined || truth === undefined) return notes[0] ?? '';
  return `${blockKinds.filter((kind) => found[kind] < truth[kind]).map((kind) => `${found[kind]} of ${truth[kind]} ${kind}`).join(', ')}${notes.length === 0 ? '' : `; ${notes.join('; ')}`}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((each) => each[column]?.length ?? 0)));
  return rows.map((each) => each.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')).join('\n');
}
