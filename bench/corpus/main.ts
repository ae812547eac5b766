import { readdirSync } from 'node:fs';
import { score, type Score } from './score.ts';
import { scoreTable, summary } from './table.ts';
import { readManifest } from './truth.ts';

/** `corpus DIR [--json] [--programs]`: how much of every ONNX file below a folder is recognised, and what its program computes. Exit code 1 if a result was wrong or the compiler failed. */
const [folder, ...flags] = process.argv.slice(2);
if (folder === undefined || flags.some((flag) => flag !== '--json' && flag !== '--programs')) {
  console.error('usage: npm run corpus -- DIR [--json] [--programs]');
  process.exit(2);
}
const manifest = readManifest(folder);
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.onnx')).toSorted();
const scores = files.map((file, i): Score => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${i + 1}/${files.length} ${file}`);
  return score(folder, file, manifest, flags.includes('--programs'));
});
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
const total = summary(scores);
console.log(flags.includes('--json') ? JSON.stringify({ summary: total, files: scores }, undefined, 1) : scoreTable(scores, total));
process.exitCode = total.failed + total.unsound + total.programs.wrong + total.programs.failed > 0 ? 1 : 0;
