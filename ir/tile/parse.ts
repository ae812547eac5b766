import type { Diagnostics, Origin } from '../../diagnostics/diagnostic.ts';
import { formats } from '../../isa-spec/fields.ts';
import { stepCounts } from '../../isa-spec/instructions.ts';
import { type AttributeKind, attributesOf, packingAttributes, tileKinds } from './attributes.ts';
import { type At, type Item, type Named, type RawBuffer, type RawModule, type RawNode, type RawRegion, type Reference, readTile } from './grammar.ts';
import type { Buffer, BufferId, Packing, Region, RowBound, TileLoop, TileModule, TileNode, TileOp } from './module.ts';
import { tileOperands } from './ops.ts';
import { boundNames } from './print.ts';

const spaces = ['hbm', 'sram', 'acc'] as const satisfies readonly Buffer['space'][];
const roles = ['weights', 'kv', 'pipe', 'value', 'stage', 'ring', 'list', 'input', 'output'] as const satisfies readonly Buffer['role'][];
const packings = Object.keys(packingAttributes) as readonly Packing['kind'][];

/** A name the text uses that means nothing there. */
class Unknown extends Error {
  readonly at: At;
  constructor(at: At, message: string) {
    super(message);
    this.at = at;
  }
}

/**
 * The module a text (see print.ts) says, not yet verified. What does not parse, or names what is not there, is reported as
 * E5001 at its place in `file`, and nothing comes back.
 */
export function parseTile(text: string, file: string, diagnostics: Diagnostics): TileModule | undefined {
  const report = (message: string, { line, column }: At): void => diagnostics.report({ code: 'E5001', message, origin: { kind: 'text', file, line, column } });
  const read = readTile(text);
  if ('errors' in read) {
    for (const { message, at } of read.errors) report(message, at);
    return undefined;
  }
  try {
    return new Resolver(read.module).module();
  } catch (error) {
    if (!(error instanceof Unknown)) throw error;
    report(error.message, error.at);
    return undefined;
  }
}

/** Looks the names of a text up. */
class Resolver {
  readonly #raw: RawModule;
  readonly #buffers = new Map<string, BufferId>();

  constructor(raw: RawModule) {
    this.#raw = raw;
    raw.buffers.forEach(({ id }, index) => {
      if (id.number !== undefined && id.number !== index) throw new Unknown(id.at, `buffer ${index} is numbered ${id.number}`);
      if (this.#buffers.has(keyOf(id))) throw new Unknown(id.at, `there is another buffer \`${id.name}\`; give both their numbers: \`${id.name}#${index}\``);
      this.#buffers.set(keyOf(id), index as BufferId);
    });
  }

  module(): TileModule {
    const { name, tile, chips, bounds, inputs, outputs, body, buffers } = this.#raw;
    const bound = Object.fromEntries(bounds.map((given) => [oneOf(boundNames, given, 'bound'), given.value]));
    const missing = boundNames.find((wanted) => bound[wanted] === undefined);
    if (missing !== undefined) throw new Unknown(bounds[0]?.at ?? { line: 1, column: 1 }, `the bounds do not say \`${missing}\``);
    return {
      name, tile, chips, bounds: bound as TileModule['bounds'],
      buffers: buffers.map(bufferOf),
      body: body.map((node) => this.#node(node)),
      inputs: inputs.map((input) => ({ name: input.name, buffer: this.#buffer(input.buffer), rows: oneOf(stepCounts, input.rows, 'count') })),
      outputs: outputs.map((output) => ({ name: output.name, buffer: this.#buffer(output.buffer), rows: oneOf(stepCounts, output.rows, 'count') })),
    };
  }

  #buffer(reference: Reference): BufferId {
    const found = this.#buffers.get(keyOf(reference));
    if (found === undefined) throw new Unknown(reference.at, `there is no buffer \`${keyOf(reference)}\``);
    return found;
  }

  #node(node: RawNode): TileNode {
    if (node.kind === 'loop') return { kind: 'loop', level: node.level as TileLoop['level'], name: node.name, count: node.count, body: node.body.map((inner) => this.#node(inner)) };
    const kind = oneOf(tileKinds, node.op, 'op');
    const rows: RowBound = { max: node.max, of: node.of === undefined ? 'all' : oneOf(stepCounts, node.of, 'count'), ...(node.part === undefined ? {} : { part: node.part }), ...(node.shared === undefined ? {} : { shared: node.shared }) };
    const operands: Readonly<Record<string, string>> = tileOperands[kind];
    const given = new Map(node.items.map((item) => [item.name, item]));
    const regions: Record<string, Region | undefined> = {};
    for (const [name, how] of Object.entries(operands)) {
      const item = given.get(name);
      if (item === undefined && how !== 'read?') throw new Unknown(node.op.at, `${kind} has no \`${name}\``);
      if (item !== undefined && item.value.kind !== 'region') throw new Unknown(item.at, `\`${name}\` of ${kind} must be a region`);
      regions[name] = item?.value.kind === 'region' ? this.#region(item.value.value) : undefined;
    }
    const attrs = attributes(node.items.filter(({ name }) => operands[name] === undefined), attributesOf(kind), node.op);
    const origin: Origin = this.#raw.origins.get(node.label) ?? { kind: 'none' };
    return { kind, attrs, regions, rows, label: node.label, origin } as unknown as TileOp;
  }

  #region({ buffer, slot, row, column, rows, columns }: RawRegion): Region {
    return { buffer: this.#buffer(buffer), slot, row, column, rows, columns };
  }
}

const keyOf = ({ name, number }: Reference): string => (number === undefined ? name : `${name}#${number}`);

function oneOf<const N extends string>(names: readonly N[], given: Named, what: string): N {
  const found = names.find((name) => name === given.name);
  if (found === undefined) throw new Unknown(given.at, `\`${given.name}\` is not a known ${what}: one of ${names.join(', ')}`);
  return found;
}

function bufferOf({ id, words, rows, columns, depth, packing }: RawBuffer): Buffer {
  const [space, role, format] = words as [Named, Named, Named];
  return {
    name: id.name, space: oneOf(spaces, space, 'memory'), role: oneOf(roles, role, 'role'), format: oneOf(formats, format, 'format'), rows, columns, depth,
    packing: packing === undefined ? undefined : packingOf(packing),
  };
}

function packingOf(packing: NonNullable<RawBuffer['packing']>): Packing {
  const kind = oneOf(packings, packing, 'packing');
  return { kind, ...attributes(packing.items, packingAttributes[kind], packing) } as Packing;
}

/** Attribute values by name: every one of `kinds`, no other, each of its kind; a flag that is not given is false. */
function attributes(items: readonly Item[], kinds: Readonly<Record<string, AttributeKind>>, owner: Named): Readonly<Record<string, unknown>> {
  const names = items.map(({ name }) => name);
  const extra = items.find(({ name }, i) => kinds[name] === undefined || names.indexOf(name) !== i);
  if (extra !== undefined) throw new Unknown(extra.at, kinds[extra.name] === undefined ? `${owner.name} has no \`${extra.name}\`` : `\`${extra.name}\` is given twice`);
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => {
      const item = items.find((candidate) => candidate.name === name);
      if (item === undefined && kind !== 'flag') throw new Unknown(owner.at, `${owner.name} has no \`${name}\``);
      return [name, item === undefined ? false : valueOf(item, kind)];
    }),
  );
}

function valueOf({ name, at, value }: Item, kind: AttributeKind): unknown {
  if (kind === 'flag' && value.kind === 'flag') return true;
  if (kind === 'real' && value.kind === 'number') return value.value;
  if (kind === 'count' && value.kind === 'number' && Number.isInteger(value.value) && value.value >= 0) return value.value;
  if (kind === 'name' && value.kind === 'text') return value.value;
  if (typeof kind === 'object' && value.kind === 'word' && kind.includes(value.value)) return value.value;
  const wanted = typeof kind === 'object' ? `one of ${kind.join(', ')}` : { flag: 'said without a value', real: 'a number', count: 'an integer from 0', name: 'a quoted name' }[kind as 'flag'];
  throw new Unknown(at, `\`${name}\` must be ${wanted}`);
}
