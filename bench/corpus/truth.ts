import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/** Blocks that are counted, and how many of each a graph has. */
export const blockKinds = ['attention', 'norm', 'rope', 'activation', 'moe', 'embedding'] as const;
export type Counts = Readonly<Record<(typeof blockKinds)[number], number>>;

/**
 * What counts as which block among the calls a MANIFEST.tsv counted while PyTorch ran. Norms of a family's own class are counted by class, PyTorch's
 * own by call; a rotation is one call for queries and one for keys.
 */
const counted: Readonly<Record<keyof Counts, (call: string) => number>> = {
  attention: (call) => (/^(softmax_[34]d|scaled_dot_product_attention)$/.test(call) ? 1 : 0),
  norm: (call) => (/^(layer_norm|rms_norm)$/.test(call) || /^mod:(?!RMSNorm$).*(RMSNorm|T5LayerNorm|CohereLayerNorm)$/.test(call) ? 1 : 0),
  rope: (call) => (/^fn:(rotate_half|rotate_every_two)$/.test(call) ? 1 : call === 'fn:apply_rotary_pos_emb_interleave' ? 2 : 0),
  activation: (call) => (/^(gelu|silu|mod:NewGELUActivation)$/.test(call) ? 1 : 0),
  moe: (call) => (/^mod:.*(SparseMoeBlock|MoE)$/.test(call) ? 1 : 0),
  embedding: (call) => (call === 'embedding' ? 1 : 0),
};

/** Other fusers' counts of a graph, as published beside the manifest: attention/norm/rotation/gelu, by tool. */
export type Anchors = Readonly<Record<string, string>>;

export type Manifest = {
  /** Blocks of a file; undefined where nobody counted. */
  readonly truth: (file: string) => Counts | undefined;
  /** Blocks no file of this name may have: it resembles them and is something else. */
  readonly isNegative: (file: string) => boolean;
  readonly anchors: (file: string) => Anchors | undefined;
};

/** The MANIFEST.tsv of a folder or of one around it, and the ANCHOR.tsv beside it. */
export function readManifest(folder: string): Manifest {
  const home = manifestHome(resolve(folder));
  const truths = new Map(home === undefined ? [] : tableOf(join(home, 'MANIFEST.tsv')).flatMap(({ file = '', truth = '' }) => (truth === '' ? [] : [[file, JSON.parse(truth) as Record<string, number>] as const])));
  const anchors = new Map(home === undefined || !existsSync(join(home, 'ANCHOR.tsv')) ? [] : tableOf(join(home, 'ANCHOR.tsv')).map(({ graph = '', ...row }) => [graph, row] as const));
  const nameOf = (file: string): string => (home === undefined ? file : relative(home, resolve(folder, file)));
  const graphOf = (file: string): string => nameOf(file).split('/').at(-2) ?? '';
  return {
    truth: (file) => {
      const calls = truths.get(nameOf(file));
      if (calls === undefined || Object.keys(calls).length === 0) return undefined;
      const count = (kind: keyof Counts): number => Object.entries(calls).reduce((sum, [call, times]) => sum + counted[kind](call) * times, 0);
      return Object.fromEntries(blockKinds.map((kind) => [kind, count(kind)])) as Counts;
    },
    isNegative: (file) => /Neg-|_neg-|Neg\b|_neg\b/.test(graphOf(file)),
    anchors: (file) => anchors.get(graphOf(file)),
  };
}

function manifestHome(folder: string): string | undefined {
  if (existsSync(join(folder, 'MANIFEST.tsv'))) return folder;
  return dirname(folder) === folder ? undefined : manifestHome(dirname(folder));
}

function tableOf(file: string): readonly Readonly<Record<string, string>>[] {
  const [head = '', ...rows] = readFileSync(file, 'utf8').trimEnd().split('\n');
  const names = head.split('\t');
  return rows.map((row) => Object.fromEntries(row.split('\t').map((cell, i) => [names[i] ?? '', cell])));
}
