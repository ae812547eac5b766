import type { Origin } from '../../diagnostics/diagnostic.ts';
import { attributesOf, packingAttributes, type AttributeKind } from './attributes.ts';
import { type Affine, type Buffer, isLoop, type Packing, type Region, type TileModule, type TileNode, type TileOp } from './module.ts';
import { tileOperands } from './ops.ts';

/**
 * A tile module as text. `parseTile(printTile(m))` is `m`, as long as ops of one label have one origin.
 *
 *   tile "llama" side 256 chips 1
 *   bounds tokens 512 sequences 8 samples 8 poolPages 64 pageRows 64 pageListEntries 64
 *   buffer x sram value bf16[512, 2048]
 *   buffer wq.ring sram stage e4m3[8, 65536] depth 3
 *   output logits = out by samples
 *   loop i0 "layers" 22 {
 *     @layer.3.linear
 *     load from=wq[64*i0 + 8*i3 +: 8, 0 +: 65536] out=wq.ring{i3}[0 +: 8, 0 +: 65536] rows 8
 *   }
 *   origins @layer.3.linear = onnx "MatMul_3" "MatMul"
 *
 * `name{s}[r +: h, c +: w]`: ring slot s, h rows from row r, w columns from column c; i0 to i3 are the loop indices. `@label`
 * holds for the ops after it. Buffers that share their name are told apart by number: `x#7`.
 */
export function printTile(module: TileModule): string {
  const names = bufferNames(module.buffers);
  const { bounds } = module;
  const head = [
    `tile ${quoted(module.name)} side ${module.tile} chips ${module.chips}`,
    `bounds ${boundNames.map((name) => `${name} ${bounds[name]}`).join(' ')}`,
    ...module.buffers.map((buffer, id) => `buffer ${names[id]} ${bufferText(buffer)}`),
    ...module.inputs.map(({ name, buffer, rows }) => `takes ${nameText(name)} = ${names[buffer]} by ${rows}`),
    ...module.outputs.map(({ name, buffer, rows }) => `output ${nameText(name)} = ${names[buffer]} by ${rows}`),
  ];
  const origins = new Map<string, Origin>();
  return [...head, '', ...bodyLines(module.body, names, origins), '', ...[...origins].filter(([, { kind }]) => kind !== 'none').map(([label, origin]) => `origins @${nameText(label)} = ${originText(origin)}`), ''].join('\n');
}

export const boundNames = ['tokens', 'sequences', 'samples', 'memory', 'poolPages', 'pageRows', 'pageListEntries'] as const satisfies readonly (keyof TileModule['bounds'])[];

/** Words the grammar gives a meaning; a name that is one of them is quoted. */
export const keywords = ['tile', 'side', 'chips', 'bounds', 'buffer', 'depth', 'packing', 'takes', 'output', 'by', 'loop', 'rows', 'of', 'origins', 'i0', 'i1', 'i2', 'i3'] as const;

/** Names that need no quotes. */
export const plainName = /[A-Za-z_][A-Za-z0-9_.]*/;
const onlyPlain = new RegExp(`^${plainName.source}$`);

const quoted = (text: string): string => JSON.stringify(text);
const nameText = (name: string): string => (onlyPlain.test(name) && !(keywords as readonly string[]).includes(name) ? name : quoted(name));
const numberText = (value: number): string => (Object.is(value, -0) ? '-0' : String(value));

function bufferNames(buffers: readonly Buffer[]): readonly string[] {
  const uses = new Map<string, number>();
  for (const { name } of buffers) uses.set(name, (uses.get(name) ?? 0) + 1);
  return buffers.map(({ name }, id) => (uses.get(name) === 1 ? nameText(name) : `${nameText(name)}#${id}`));
}

function bufferText({ space, role, format, rows, columns, depth, packing }: Buffer): string {
  const ring = depth === 1 ? '' : ` depth ${depth}`;
  return `${space} ${role} ${format}[${rows}, ${columns}]${ring}${packing === undefined ? '' : ` packing ${packingText(packing)}`}`;
}

const packingText = (packing: Packing): string => `${packing.kind}(${attributeTexts(packing, packingAttributes[packing.kind]).join(' ')})`;

/** `name=value`; a flag is there or not. */
function attributeTexts(values: object, kinds: Readonly<Record<string, AttributeKind>>): readonly string[] {
  return Object.entries(kinds).flatMap(([name, kind]) => {
    const value = (values as Readonly<Record<string, unknown>>)[name];
    if (kind === 'flag') return value === true ? [name] : [];
    return [`${name}=${typeof value === 'number' ? numberText(value) : kind === 'name' ? quoted(value as string) : String(value)}`];
  });
}

function bodyLines(nodes: readonly TileNode[], names: readonly string[], origins: Map<string, Origin>): readonly string[] {
  const lines: string[] = [];
  let label: string | undefined;
  const walk = (inner: readonly TileNode[], indent: string): void => {
    for (const node of inner) {
      if (isLoop(node)) {
        lines.push(`${indent}loop i${node.level} ${quoted(node.name)} ${node.count} {`);
        walk(node.body, `${indent}  `);
        lines.push(`${indent}}`);
        continue;
      }
      if (node.label !== label) lines.push(`${indent}@${nameText(node.label)}`);
      label = node.label;
      if (!origins.has(label)) origins.set(label, node.origin);
      lines.push(`${indent}${opText(node, names)}`);
    }
  };
  walk(nodes, '');
  return lines;
}

function opText(op: TileOp, names: readonly string[]): string {
  const regions = op.regions as Readonly<Record<string, Region | undefined>>;
  const operands = Object.keys(tileOperands[op.kind]).flatMap((name) => (regions[name] === undefined ? [] : [`${name}=${regionText(regions[name], names)}`]));
  const { max, of, part, shared } = op.rows;
  const rows = `rows ${max}${of === 'all' ? '' : ` of ${of}`}${part === undefined ? '' : `[${part.first} +: ${part.rows}]`}${shared === undefined ? '' : ` / ${shared}`}`;
  return [op.kind, ...attributeTexts(op.attrs, attributesOf(op.kind)), ...operands, rows].join(' ');
}

function regionText({ buffer, slot, row, column, rows, columns }: Region, names: readonly string[]): string {
  const slotText = affineText(slot);
  return `${names[buffer]}${slotText === '0' ? '' : `{${slotText}}`}[${affineText(row)} +: ${rows}, ${affineText(column)} +: ${columns}]`;
}

function affineText({ base, steps }: Affine): string {
  const terms = steps.flatMap((step, level) => (step === 0 ? [] : [step === 1 ? `i${level}` : `${step}*i${level}`]));
  return base === 0 && terms.length > 0 ? terms.join(' + ') : [...terms, numberText(base)].join(' + ');
}

function originText(origin: Origin): string {
  switch (origin.kind) {
    case 'onnx': return `onnx ${quoted(origin.node)} ${quoted(origin.op)}`;
    case 'config': return `config ${quoted(origin.path)}`;
    case 'tensor': return `tensor ${quoted(origin.name)}`;
    case 'file': return `file ${quoted(origin.path)}${origin.offset === undefined ? '' : ` ${origin.offset}`}`;
    case 'text': return `text ${quoted(origin.file)} ${origin.line} ${origin.column}`;
    case 'derived': return `derived ${quoted(origin.by)} (${origin.from.map(originText).join(', ')})`;
    case 'none': return 'none';
  }
}
