import { fieldParts } from './fields.ts';
import { instructions, type Mnemonic, queues, wordBytes } from './instructions.ts';
import { type BitRange, common, layouts, spaces, strideSetNumbers } from './layout.ts';
import { unconditional } from './legal.ts';

/** What bits are for, told apart by colour; `operand2` only tells an operand from its neighbours. */
const kinds = { common: 'in every word', flag: 'flags', operand: 'operands', operand2: 'operands', zero: 'zero' } as const;
type Kind = keyof typeof kinds;

/** Bits under one name. `joined`: the part above it is of the same field. */
type Cell = BitRange & { readonly name: string; readonly kind: Kind; readonly joined: boolean };
/** Bits of a cell that stand in one row; `name` says which of the cell's they are, if not all. */
type Piece = Cell & { readonly whole: BitRange };

const rowBits = 32;
const bitWidth = 27;
const margin = 14;
const numberHeight = 12;
const boxHeight = 28;
const rowHeight = numberHeight + boxHeight + 6;
const noteHeight = 18;
const rowWidth = rowBits * bitWidth;
const width = rowWidth + 2 * margin;
/** Widest a character of 12 pixels is in the fonts named below. */
const characterWidth = 7.3;

const style = `text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}
.n{font-size:8.5px;fill:#59636e}.page{fill:#fff}.box{stroke:#59636e}.join{stroke:#59636e;stroke-dasharray:2 3}.ring{fill:none;stroke:#59636e}
.common{fill:#d3e3f8}.flag{fill:#fbe0a8}.operand{fill:#cdeccf}.operand2{fill:#e2f4dc}.zero{fill:#eceef1}.z{fill:#818b98}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#9aa4af}.page{fill:#0d1117}.box,.join,.ring{stroke:#8b949e}
.common{fill:#1b3a63}.flag{fill:#5c4410}.operand{fill:#1d4d2b}.operand2{fill:#2a5f2f}.zero{fill:#1c2128}.z{fill:#768390}}`;

const top = ({ at, bits }: BitRange): number => at + bits - 1;
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const fits = (text: string, bits: number): boolean => text.length * characterWidth + 4 <= bits * bitWidth;

/** The pieces of a cell, one a row it has bits in. */
const piecesOf = (cell: Cell): readonly Piece[] => {
  const whole = { at: cell.at, bits: cell.bits };
  const pieces: Piece[] = [];
  for (let at = cell.at; at <= top(cell); ) {
    const bits = Math.min(top(cell) + 1 - at, rowBits - (at % rowBits));
    pieces.push({ ...cell, at, bits, whole, joined: cell.joined || at + bits <= top(cell) });
    at += bits;
  }
  return pieces;
};

/** Which bits of its cell a piece has, if not all: as ` 15:0`. */
const slice = ({ at, bits, whole, kind }: Piece): string => (bits === whole.bits || kind === 'zero' ? '' : bits === 1 ? ` ${at - whole.at}` : ` ${at - whole.at + bits - 1}:${at - whole.at}`);

/** What stands in a piece: its name and slice, or its name, or, where there is no room, the number of a note that has both. */
const labels = (pieces: readonly Piece[]): { readonly texts: readonly (string | number)[]; readonly notes: readonly string[] } => {
  const notes: string[] = [];
  const texts = pieces.map((piece) => {
    const full = `${piece.name}${slice(piece)}`;
    return [full, piece.name].find((name) => fits(name, piece.bits)) ?? notes.push(full);
  });
  return { texts, notes };
};

/** A number in a circle, at (x, y). */
const circled = (x: number, y: number, n: number): string => `<circle class="ring" cx="${x}" cy="${y - 4}" r="8"/><text x="${x}" y="${y}" text-anchor="middle">${n}</text>`;

const drawn = (piece: Piece, text: string | number): string => {
  const x = margin + (rowBits - 1 - (top(piece) % rowBits)) * bitWidth;
  const y = margin + Math.floor(piece.at / rowBits) * rowHeight;
  const w = piece.bits * bitWidth;
  const box = y + numberHeight;
  const middle = x + w / 2;
  const number = (at: number, anchor: string, bit: number): string => `<text class="n" x="${at}" y="${y + 9}" text-anchor="${anchor}">${bit}</text>`;
  const numbers = piece.bits === 1 ? number(middle, 'middle', piece.at) : number(x + 2, 'start', top(piece)) + number(x + w - 2, 'end', piece.at);
  const left = piece.joined ? `<path class="join" d="M${x} ${box}v${boxHeight}"/>` : `<path class="box" d="M${x} ${box}v${boxHeight}"/>`;
  const label = typeof text === 'number' ? circled(middle, box + 18.5, text) : `<text${piece.kind === 'zero' ? ' class="z"' : ''} x="${middle}" y="${box + 18.5}" text-anchor="middle">${escaped(text)}</text>`;
  return `${numbers}<path class="${piece.kind}" d="M${x} ${box}h${w}v${boxHeight}h-${w}z"/>${left}${label}`;
};

/** The notes from `y` on, in lines no wider than the rows; and where the last of them is. */
const noted = (notes: readonly string[], y: number): { readonly text: readonly string[]; readonly last: number } => {
  let x = margin;
  let last = notes.length === 0 ? y - noteHeight : y;
  const text = notes.map((note, i) => {
    const long = 40 + note.length * characterWidth;
    if (x > margin && x + long > width) {
      x = margin;
      last += noteHeight;
    }
    const item = `${circled(x + 8.5, last, i + 1)}<text x="${x + 23}" y="${last}">${escaped(note)}</text>`;
    x += long;
    return item;
  });
  return { text, last };
};

/** What the colours say, if there is more than one. */
const legend = (cells: readonly Cell[], y: number): string => {
  const present = new Map(Object.keys(kinds).filter((kind) => cells.some((cell) => cell.kind === kind)).map((kind) => [kinds[kind as Kind], kind]));
  if (present.size === 1) return '';
  let x = margin;
  return [...present].map(([says, kind]) => {
    const item = `<path class="box ${kind}" d="M${x + 0.5} ${y - 9.5}h16v11h-16z"/><text x="${x + 23}" y="${y}">${says}</text>`;
    x += 40 + says.length * characterWidth;
    return item;
  }).join('\n');
};

/** Rows of 32 bits, the first at the top, in each the highest bit at the left. */
const draw = (title: string, cells: readonly Cell[]): string => {
  const pieces = cells.toSorted((a, b) => a.at - b.at).flatMap(piecesOf);
  const { texts, notes } = labels(pieces);
  const rows = (8 * wordBytes) / rowBits;
  const { text, last } = noted(notes, margin + rows * rowHeight + 12);
  const height = last + 2 * noteHeight;
  const frames = Array.from({ length: rows }, (_, row) => `<path class="box" fill="none" d="M${margin} ${margin + row * rowHeight + numberHeight}h${rowWidth}v${boxHeight}h-${rowWidth}z"/>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`, `<style>${style}</style>`, `<path class="page" d="M0 0h${width}v${height}H0z"/>`,
    ...pieces.map((piece, i) => drawn(piece, texts[i]!)), ...frames, ...text, legend(cells, last + noteHeight + 2), '</svg>', '',
  ].join('\n');
};

const cell = (range: BitRange, name: string, kind: Kind): Cell => ({ at: range.at, bits: range.bits, name, kind, joined: false });
const zeros = ({ at, bits }: BitRange): Cell => cell({ at, bits }, '0', 'zero');

/** The fields every word has; `fixed` gives those an instruction leaves no choice. */
const commonCells = (fixed: { readonly [F in keyof typeof common]?: string }): readonly Cell[] =>
  Object.entries(common).map(([name, bits]) => cell(bits, fixed[name as keyof typeof common] ?? name, 'common'));

const wordCells = (m: Mnemonic): readonly Cell[] => {
  const { opcode, queues: homes } = instructions[m];
  const fixed = {
    op: `op = 0x${opcode.toString(16).padStart(2, '0')}`,
    ...(homes.length === 1 ? { queue: `queue = ${queues.indexOf(homes[0]!)}` } : {}),
    ...(unconditional.includes(m) ? { predicate: '0' } : {}),
  };
  const payload = layouts[m].fields.filter(({ group }) => group === 'payload');
  const fields = layouts[m].fields.flatMap((position) => {
    const { name, field, parts, group } = position;
    const kind = group === 'flags' ? 'flag' : payload.indexOf(position) % 2 === 0 ? 'operand' : 'operand2';
    return parts.map((part, i) => ({ ...cell(part, part.name === '' ? name : `${name}.${part.name}`, kind), joined: i < fieldParts(field).length - 1 }));
  });
  return [...commonCells(fixed), ...fields, ...layouts[m].reserved.map(zeros)];
};

/** Bits of the word that are no field's of every word: the spaces of flags and operands, and what means nothing. */
const spaceCells: readonly Cell[] = [cell(spaces.flags, 'flags of the instruction', 'flag'), cell(spaces.payload, 'operands of the instruction', 'operand'), zeros({ at: 15, bits: 1 })];

/** Pictures of the manual as SVG, by the name of their file: `word`, `stride-set`, and one an instruction. */
export const diagrams = (): Readonly<Record<string, string>> => ({
  word: draw('the fields of every word', [...commonCells({}), ...spaceCells]),
  'stride-set': draw('a stride set', strideSetNumbers.map((number, i) => cell(number, number.name, i % 2 === 0 ? 'operand' : 'operand2'))),
  ...Object.fromEntries(Object.keys(instructions).map((m) => [m, draw(m, wordCells(m as Mnemonic))])),
});
