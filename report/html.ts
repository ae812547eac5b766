import { billions, binary, duration, grouped, lentText, percent, plural, rate, readable, si, three } from './format.ts';
import type { CostReport } from './report.ts';

/** Labels listed in the table; the JSON report has all. */
const labelsShown = 25;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** The report as one HTML file: drawings inline, no script, nothing fetched. */
export function renderHtml(report: CostReport): string {
  const { model, mapping, timing, workload } = report;
  const lent = report.program.entries[0]?.lent ?? 0;
  const requests = workload.osl === 0 ? `${grouped(workload.isl)} tokens` : `${grouped(workload.isl)} in, ${grouped(workload.osl)} out`;
  const facts: readonly (readonly [string, string, string])[] = [
    ['tokens a second', `~${grouped(timing.totalTokensPerSecond)}`, `~${grouped(timing.inputTokensPerSecond)} input + ~${grouped(timing.outputTokensPerSecond)} output`],
    ['a step', `~${duration(timing.stepSeconds)}`, `${plural(timing.tokens, 'row')}; ${requests}, batch ${grouped(workload.batch)}; ${timing.steps === 1 ? 'one was timed' : `an average of ${timing.steps} in a row`}`],
    ['of matrix peak', `~${percent(timing.matrixUtilisation)}`, `${si(timing.usefulFlops, 'FLOP')} of ${si(timing.capacityFlops, 'FLOP')}`],
    ['of speed of light', `~${percent(timing.speedOfLightRatio)}`, `bound by ${readable(timing.boundBy)}: ${duration(timing.speedOfLightSeconds)} at the least`],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(model.name)} on ${escaped(mapping.machine)}</title>
<style>${style}</style></head><body><main>
<h1>${escaped(model.name)} <small>on ${escaped(mapping.machine)}</small></h1>
<p>${escaped(model.family)}, ${billions(model.parameters)} parameters, ${plural(model.layers, 'layer')}; ${escaped(report.provenance.precision)}; TP ${mapping.tp} &times; PP ${mapping.pp} &times; EP ${mapping.ep}, ${plural(mapping.replicas, 'replica')}${lent === 0 ? '' : `, ${lentText(lent)}`}. ${coverage(report)}
Numbers marked ~ rest on <a href="#assumptions">assumptions</a>.</p>
<div class="facts">${facts.map(([name, value, more]) => `<div><b>${value}</b><span>${name}</span><small>${more}</small></div>`).join('')}</div>
<h2>Where the peak goes</h2>${waterfall(timing)}
<h2>Engines</h2><p>Solid: work the step cannot do without, over the engine's peak. Pale: the engine is occupied.</p>${engineBars(timing)}
<h2>Queues</h2><p>What each queue spends the step on: at work, waiting for another queue, or for its unit.</p>${queueBars(timing)}
<h2>Memory</h2>${memoryBars(report)}
<h2>Ops</h2>${opTable(report)}
<h2 id="assumptions">Assumptions</h2>${assumptionTable(report)}
</main></body></html>
`;
}

const style = `
:root{--ink:#1d2329;--quiet:#66707a;--line:#d5dade;--ground:#fff;--a:#1f6fb2;--a2:#a9cbe6;--b:#c2571a;--c:#3b8a5a;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8eb;--quiet:#98a2ab;--line:#3a434b;--ground:#14181c;--a:#5aa9e6;--a2:#2c4c66;--b:#e58a4e;--c:#6cc08b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);margin:0}main{max-width:56rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .4rem}small,p{color:var(--quiet)}h1 small{font-weight:normal}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(12rem,1fr));gap:.8rem;margin:1.2rem 0}.facts div{border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem}
.facts b{display:block;font-size:1.5rem}.facts span,.facts small{display:block}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}svg .q{fill:var(--quiet)}
table{border-collapse:collapse;width:100%;font-size:13px}td,th{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;white-space:nowrap}
td.s{color:var(--quiet)}@media print{main{max-width:none}}`;

function coverage({ recognition, program }: CostReport): string {
  const { sourceNodes, hardware, folded, host, refused, hardwareOpsPerLayer, fusedOpsPerLayer, fusedOps } = recognition;
  return `${plural(sourceNodes, 'source node')}: ${hardware} hardware, ${folded} folded, ${host} host, ${refused} refused. ${three(fusedOpsPerLayer)} fused ops a layer (${fusedOps.join('; ')}) of ${three(hardwareOpsPerLayer)} hardware ops, ${plural(program.instructions, 'instruction')}, ${si(program.bytes, 'B')}.`;
}

const drawingWidth = 860;
const nameWidth = 140;
const valueWidth = 190;
const barWidth = drawingWidth - nameWidth - valueWidth;
const rowHeight = 24;

type Part = { readonly from: number; readonly share: number; readonly fill: string; readonly title: string };
type Row = { readonly name: string; readonly value: string; readonly parts: readonly Part[] };

/** Horizontal bars: shares from 0 to 1 of a common scale. */
function bars(label: string, all: readonly Row[]): string {
  const height = all.length * rowHeight + 4;
  const one = ({ name, value, parts }: Row, index: number): string => {
    const y = index * rowHeight;
    const rectangles = parts.map(({ from, share, fill, title }) => {
      const [x, width] = [nameWidth + from * barWidth, Math.max(share > 0 ? 0.7 : 0, share * barWidth)];
      return `<rect x="${x.toFixed(1)}" y="${y + 4}" width="${width.toFixed(1)}" height="${rowHeight - 8}" fill="${fill}"><title>${escaped(title)}</title></rect>`;
    });
    const frame = `<rect x="${nameWidth}" y="${y + 4}" width="${barWidth}" height="${rowHeight - 8}" fill="none" stroke="var(--line)"/>`;
    return `<text x="0" y="${y + 17}">${escaped(name)}</text>${frame}${rectangles.join('')}<text class="q" x="${nameWidth + barWidth + 10}" y="${y + 17}">${escaped(value)}</text>`;
  };
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${drawingWidth} ${height}" role="img" aria-label="${escaped(label)}">${all.map(one).join('')}</svg>`;
}

function waterfall(timing: CostReport['timing']): string {
  const losses = timing.losses.filter(({ flops }) => flops !== 0).toSorted((a, b) => b.fraction - a.fraction);
  let left = 1;
  const steps = losses.map(({ name, fraction }): Row => {
    left -= fraction;
    const part: Part = { from: Math.max(0, left), share: fraction, fill: 'var(--b)', title: `${readable(name)}: ${percent(fraction)}` };
    return { name: readable(name), value: `\u2212${percent(fraction)}`, parts: [part] };
  });
  const whole = (name: string, share: number, fill: string): Row => ({ name, value: percent(share), parts: [{ from: 0, share, fill, title: name }] });
  return bars('From peak to achieved', [whole('peak', 1, 'var(--a2)'), ...steps, whole('achieved', timing.matrixUtilisation, 'var(--c)')]);
}

function engineBars(timing: CostReport['timing']): string {
  const rows = timing.engines.filter(({ work, busy }) => work > 0 || busy > 0);
  return bars('Utilisation of the engines', rows.map(({ name, utilisation, busy, unit, peakPerSecond }): Row => {
    const parts: readonly Part[] = [
      { from: 0, share: busy, fill: 'var(--a2)', title: `busy ${percent(busy)}` },
      { from: 0, share: utilisation, fill: 'var(--a)', title: `${percent(utilisation)} of peak` },
    ];
    return { name: readable(name), value: `${percent(utilisation)} of ${rate(unit, peakPerSecond)}`, parts };
  }));
}

function queueBars(timing: CostReport['timing']): string {
  const rows = timing.queues.filter(({ instructions }) => instructions > 0).map(({ queue, instructions, busy, stalls }): Row => {
    let from = busy;
    const parts = stalls.filter(({ reason }) => reason !== 'finished').map(({ reason, fraction }, index): Part => {
      from += fraction;
      return { from: from - fraction, share: fraction, fill: index % 2 === 0 ? 'var(--line)' : 'var(--a2)', title: `waits for ${reason}: ${percent(fraction)}` };
    });
    const most = stalls.reduce((largest, stall) => (stall.fraction > largest.fraction ? stall : largest), { reason: '', fraction: 0 });
    const value = `${percent(busy)}${most.fraction > 0 ? `, ${most.reason} ${percent(most.fraction)}` : ''}`;
    return { name: `${queue} (${grouped(instructions)})`, value, parts: [{ from: 0, share: busy, fill: 'var(--a)', title: `at work ${percent(busy)}` }, ...parts] };
  });
  return bars('What the queues spend the step on', rows);
}

function memoryBars({ memory }: CostReport): string {
  const part = (share: number, title: string): readonly Part[] => [{ from: 0, share: Math.min(1, share), fill: 'var(--a)', title }];
  const regions = memory.regions.map(({ base, bytes }): Row => ({
    name: base === 'kv' ? 'KV' : base, value: `${si(bytes, 'B')} of ${si(memory.hbmBytes, 'B')}`, parts: part(bytes / memory.hbmBytes, base),
  }));
  const sram: Row = { name: 'SRAM peak', value: `${binary(memory.sramPeakBytes)} of ${binary(memory.sramBytes)}`, parts: part(memory.sramPeakBytes / memory.sramBytes, 'SRAM') };
  const perToken = memory.kvBytesPerToken > 0 ? `<p>Keys and values take ${si(memory.kvBytesPerToken, 'B')} a token on all chips together.</p>` : '';
  return bars('Memory of a chip', [...regions, sram]) + perToken;
}

function opTable({ timing }: CostReport): string {
  const rows = timing.labels.slice(0, labelsShown).map(({ label, sources, seconds }) => {
    const from = sources.length <= 3 ? sources.join(', ') : `${sources.slice(0, 3).join(', ')} and ${sources.length - 3} more`;
    return `<tr><td>${escaped(label)}</td><td class="n">${duration(seconds)}</td><td class="s">${escaped(from)}</td></tr>`;
  });
  const rest = timing.labels.length > labelsShown ? `<p>The ${labelsShown} longest of ${timing.labels.length}.</p>` : '';
  return `<table><tr><th>op</th><th class="n">time on its units</th><th>from</th></tr>${rows.join('')}</table>${rest}`;
}

function assumptionTable({ assumptions }: CostReport): string {
  const rows = assumptions.map(({ name, value, provenance, source }) => `<tr><td>${escaped(name)}</td><td class="n">${value}</td><td>${provenance}</td><td class="s">${escaped(source)}</td></tr>`);
  return `<table><tr><th>quantity</th><th class="n">value</th><th>is</th><th>source</th></tr>${rows.join('')}</table>`;
}
