"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const items = data.items, classes = data.classes, total = items.ids.length;
const coloursOf = (n) => data.colours[n % data.colours.length];
// Plotly reads tags in its labels; names are shown as they are.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const named = (n) => (n === null || n < 0 ? "none" : classes[n]);
const perCent = (share) => (share === null ? "" : (100 * share).toFixed(1) + " %");
const config = {
  responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
const still = { responsive: true, displayModeBar: false };
const layout = (more) => Object.assign({
  margin: { l: 50, r: 15, t: 10, b: 42 }, font: { family: "inherit", color: "#1b2a41" }, paper_bgcolor: "#fff",
  plot_bgcolor: "#fff", hovermode: "closest", hoverlabel: { align: "left" }, legend: { orientation: "h", y: 1.12 },
}, more);
// A title stands off from the ticks' names, however long these are, and the margin grows with both.
const axisOf = (title, more) => Object.assign({ title: { text: title, standoff: 8 }, automargin: true }, more);
const webgl = (() => { try { return !!document.createElement("canvas").getContext("webgl"); } catch (e) { return false; } })();

function option(select, values) {
  for (const [value, text] of values) {
    const made = document.createElement("option");
    made.value = value; made.textContent = text; select.append(made);
  }
}
function element(tag, text, parent, kind) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
}
function table(parent, rows, headings) {
  const made = element("table", null, parent);
  if (headings) { const row = element("tr", null, made); headings.forEach((each) => element("th", each, row)); }
  for (const cells of rows) {
    const row = element("tr", null, made);
    cells.forEach((cell, place) => element(place === 0 && !headings ? "th" : "td", cell, row));
  }
  return made;
}

// 1. Controls.
document.title = data.title;
$("headline").textContent = data.headline;
option($("space"), Object.keys(data.spaces).map((name) => [name, name]));
option($("colour"), classes.length ? [["true", "true class"], ["predicted", data.nearest ? data.predicted_word : "predicted class"]] : [["none", "none"]]);
option($("right"), [["all", "all"], ["right", "right"], ["wrong", "wrong"]]);
option($("part"), [["all", "all"], ...data.parts.map((name, number) => [number, name])]);
const shown = classes.map(() => true);
classes.forEach((name, number) => {
  const label = element("label", null, $("classes"));
  const box = element("input", null, label);
  box.type = "checkbox"; box.checked = true; box.dataset.number = number;
  box.addEventListener("change", () => { shown[number] = box.checked; draw(); });
  element("span", "", label, "swatch").style.background = coloursOf(number);
  element("span", name, label);
});
if (classes.length > 1) {
  for (const [text, to] of [["all classes", true], ["no class", false]]) {
    const button = element("button", text, $("classes"));
    button.addEventListener("click", () => {
      shown.fill(to); $("classes").querySelectorAll("input").forEach((box) => { box.checked = to; }); draw();
    });
  }
}
["space", "colour", "right", "part"].forEach((id) => $(id).addEventListener("change", () => draw()));

// 2. Items in two dimensions.
let selected = null;
function visible(n) {
  const own = items.true[n] >= 0 ? items.true[n] : items.predicted[n];
  if (classes.length && !shown[own]) return false;
  const right = $("right").value;
  if (right !== "all" && (items.true[n] < 0 || (items.true[n] === items.predicted[n]) !== (right === "right"))) return false;
  return $("part").value === "all" || items.part[n] === Number($("part").value);
}
function said(n) {
  const own = data.values ? [["true", data.values.true[n]], ["predicted", data.values.predicted[n]]]
    : [["true", named(items.true[n])], [data.predicted_word, named(items.predicted[n])],
      ...(items.confidence ? [["confidence", perCent(items.confidence[n])]] : [])];
  return [...own, ["part", data.parts[items.part[n]] || "none"]].map(([name, value]) => [name, value === null ? "none" : String(value)]);
}
function draw() {
  const xy = data.spaces[$("space").value], by = $("colour").value, groups = new Map();
  let count = 0;
  for (let n = 0; n < total; n++) {
    if (!visible(n)) continue;
    count++;
    const group = by === "none" ? 0 : items[by][n];
    if (!groups.has(group)) groups.set(group, { x: [], y: [], customdata: [] });
    const to = groups.get(group);
    to.x.push(xy[0][n]); to.y.push(xy[1][n]); to.customdata.push(n);
  }
  const traces = [...groups.keys()].sort((a, b) => a - b).map((group) => Object.assign(groups.get(group), {
    type: webgl ? "scattergl" : "scatter", mode: "markers", name: plain(named(group)), hoverinfo: "none",
    marker: { color: group < 0 ? "#9aa5b1" : coloursOf(group), size: total > 5000 ? 4 : 6, opacity: 0.75 },
  }));
  if (selected !== null) traces.push(...around(selected, xy));
  const axis = { zeroline: false, gridcolor: "#eef1f5" };
  Plotly.react("scatter", traces, layout({
    showlegend: false, xaxis: axisOf(data.axes[$("space").value][0], axis),
    yaxis: axisOf(data.axes[$("space").value][1], axis), uirevision: $("space").value,
  }), config);
  $("count").textContent = `${count.toLocaleString("en")} of ${total.toLocaleString("en")} items` + (data.left_out ? `; ${data.left_out}` : "");
}
function neighbours(n) {
  if (data.nearest) return data.nearest[n].filter((other) => other >= 0);
  return data.indptr ? data.indices.slice(data.indptr[n], data.indptr[n + 1]) : [];
}
function around(n, xy) {
  const x = [], y = [];
  for (const other of neighbours(n)) { x.push(xy[0][n], xy[0][other], null); y.push(xy[1][n], xy[1][other], null); }
  const ends = neighbours(n);
  return [
    { type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: { color: "#1b2a41", width: 1 }, opacity: 0.5 },
    { type: "scatter", mode: "markers", x: ends.map((o) => xy[0][o]), y: ends.map((o) => xy[1][o]), customdata: ends,
      hoverinfo: "none", marker: { size: 10, color: ends.map((o) => coloursOf(items.predicted[o])), line: { color: "#1b2a41", width: 1 } } },
    { type: "scatter", mode: "markers", x: [xy[0][n]], y: [xy[1][n]], customdata: [n], hoverinfo: "none",
      marker: { size: 15, symbol: "star", color: coloursOf(items.predicted[n]), line: { color: "#1b2a41", width: 1.5 } } },
  ];
}
// What is said of an item is made when it is asked for: there may be many thousands.
const tip = element("div", null, document.body, "tip");
function show(n) {
  selected = n;
  const panel = $("panel");
  panel.replaceChildren();
  if (n === null) {
    const asks = data.nearest ? `its ${data.nearest_word}` : data.indptr ? "its neighbours" : "what is said of it";
    element("p", `Click an item to see ${asks}.`, panel);
    return;
  }
  element("h2", String(items.ids[n]), panel);
  table(panel, said(n));
  if (!data.indptr && !data.nearest) return;
  const near = neighbours(n), by = data.nearest ? items.true : items.predicted;
  const alike = near.filter((other) => by[other] === by[n]).length.toLocaleString("en"), many = near.length.toLocaleString("en");
  element("h2", data.nearest ? `${many} ${data.nearest_word}${by[n] < 0 ? "" : `, ${alike} of its class`}`
    : `${many} neighbours, ${alike} of the same predicted class`, panel);
  const rows = near.slice(0, 200).map((other, place) => [items.ids[other], named(items.true[other]),
    data.nearest ? data.distances[n][place].toFixed(4) : named(items.predicted[other])]);
  if (rows.length) {
    const made = table(panel, rows, ["id", "true", data.nearest ? data.distance_word : "predicted"]);
    near.slice(0, 200).forEach((other, place) => {
      const row = made.rows[place + 1];
      row.style.cursor = "pointer";
      const wrong = data.nearest ? by[n] >= 0 && by[other] !== by[n] : items.true[other] >= 0 && items.true[other] !== items.predicted[other];
      if (wrong) row.cells[data.nearest ? 1 : 2].className = "wrong";
      row.addEventListener("click", () => { show(other); draw(); });
    });
  }
  if (near.length > rows.length) element("p", `and ${near.length - rows.length} more`, panel);
}
show(null);
draw();
$("scatter").on("plotly_click", (event) => { const n = event.points[0].customdata; if (n !== undefined) { show(n); draw(); } });
$("scatter").on("plotly_hover", (event) => {
  const n = event.points[0].customdata;
  if (n === undefined) return;
  tip.replaceChildren();
  table(tip, [["id", String(items.ids[n])], ...said(n)]);
  tip.style.display = "block";
  tip.style.left = Math.min(event.event.clientX + 14, window.innerWidth - 260) + "px";
  tip.style.top = event.event.clientY + 14 + "px";
});
$("scatter").on("plotly_unhover", () => { tip.style.display = "none"; });

// 3. Curves, confusion, record.
const curves = [];
data.curves.forEach((run, number) => {
  const epochs = run.train_loss.map((_, place) => place + 1), first = number === 0;
  const line = (y, name, color, axis, dash) => ({
    type: "scatter", mode: "lines", x: epochs, y, name, legendgroup: name, showlegend: first, yaxis: axis,
    line: { color, dash, width: 1.6 }, opacity: data.curves.length > 1 ? 0.55 : 1,
    hovertemplate: `${run.name}, epoch %{x}: %{y:.4g}<extra>${name}</extra>`,
  });
  curves.push(line(run.train_loss, "training loss", data.colours[0], "y", "solid"));
  if (run.validation_loss.length) curves.push(line(run.validation_loss, "validation loss", data.colours[3], "y", "dash"));
  curves.push(line(run.figure, "validation " + data.metric, data.colours[2], "y2", "solid"));
  curves.push({ type: "scatter", mode: "markers", x: [run.selected], y: [run.figure[run.selected - 1]], yaxis: "y2",
    name: "selected", legendgroup: "selected", showlegend: first, marker: { color: data.colours[2], size: 8 }, hoverinfo: "skip" });
});
if (curves.length) {
  Plotly.newPlot("curves", curves, layout({
    margin: { l: 50, r: 50, t: 10, b: 42 }, xaxis: axisOf("epoch", { gridcolor: "#eef1f5" }),
    yaxis: axisOf("loss", { rangemode: "tozero", gridcolor: "#eef1f5" }),
    yaxis2: axisOf("validation " + data.metric, { overlaying: "y", side: "right", showgrid: false, tickmode: "auto", nticks: 6 }),
  }), still);
} else $("curves").textContent = "The run keeps no history.";
if (data.confusion) {
  $("confusion-title").textContent = "Confusion matrix, " + data.confusion.of;
  const sums = data.confusion.counts.map((row) => row.reduce((a, b) => a + b, 0));
  const names = classes.map((name) => plain(name.length > 18 ? name.slice(0, 17) + "…" : name));
  const places = classes.map((_, n) => n), few = classes.length <= 12;
  Plotly.newPlot("confusion", [{
    type: "heatmap", x: places, y: places, z: data.confusion.counts.map((row, n) => row.map((many) => (sums[n] ? many / sums[n] : 0))),
    text: data.confusion.counts.map((row) => row.map(String)), texttemplate: few ? "%{text}" : "", colorscale: [[0, "#ffffff"], [1, data.colours[0]]],
    zmin: 0, zmax: 1, customdata: classes.map((a) => classes.map((b) => [plain(a), plain(b)])),
    hovertemplate: `is %{customdata[0]}<br>${data.predicted_word} %{customdata[1]}<br>%{text} items, %{z:.1%} of its class<extra></extra>`,
    colorbar: { tickformat: ".0%", thickness: 12 },
  }], layout({
    margin: { l: 40, r: 10, t: 10, b: 40 },
    xaxis: axisOf(data.predicted_word, { tickvals: places, ticktext: names }),
    yaxis: axisOf("is", { tickvals: places, ticktext: names, autorange: "reversed" }),
  }), still);
} else $("confusion").textContent = "Only classes have one.";
table($("record"), data.record);
document.body.dataset.ready = "yes";
