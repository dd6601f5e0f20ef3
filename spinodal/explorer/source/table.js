/** A table of merges: time, clusters left and the first tokens of both halves. */
export function tableOf(merges) {
  const table = document.createElement("table");
  const line = (cells, tag) => {
    const row = table.insertRow();
    for (const cell of cells) row.append(Object.assign(document.createElement(tag), { textContent: cell }));
  };
  line(["time", "clusters left", "tokens"], "th");
  for (const { time, clusters, tokens } of merges)
    line([time.toPrecision(8), clusters, tokens.join(", ")], "td");
  return table;
}
