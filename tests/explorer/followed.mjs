/** A flow to its end, with the tokens at the times asked for and at the end; for Node and for a page alike. */
export function followed({ Flow, makeField, startTokens }, c) {
  const weights = new Float64Array(c.n).fill(1 / c.n);
  const flow = new Flow(makeField(c), startTokens(c), weights, c.d, c.tolerance);
  const times = [...c.times];
  const frames = [];
  for (;;) {
    const last = c.until === null && flow.clusters === 1;
    const end = last ? Math.max(flow.hi, flow.merges().at(-1).time) : (c.until ?? 1e305);
    if (!(flow.hi < end)) break;
    flow.advance(end);
    while (times.length && times[0] <= flow.hi) {
      frames.push({ time: times[0], tokens: [...flow.at(times.shift())] });
    }
    flow.settle();
  }
  frames.push({ time: flow.hi, tokens: [...flow.expand(flow.x, flow.hi)] });
  const merges = flow.merges().filter((merge) => merge.time <= flow.hi);
  return { frames, merges, logEnergy: flow.logEnergy };
}
