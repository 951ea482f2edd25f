"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const layout = { margin: { t: 10, r: 10, b: 45, l: 55 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff", showlegend: true,
  legend: { orientation: "h", y: 1.08 }, font: { family: "system-ui, DejaVu Sans, sans-serif" } };
const options = { responsive: true, displaylogo: false };

document.getElementById("headline").textContent = data.headline;
document.getElementById("left").textContent = data.left_out;

function series(node) {
  document.getElementById("series-title").textContent = `Node ${data.ids[node]}, RMSE ${data.errors[node]}`;
  const lines = [{ x: data.times, y: data.truth[node], name: "what came", line: { color: "#222222", width: 1.6 } }];
  Object.entries(data.forecasts).forEach(([name, values], place) => {
    lines.push({ x: data.times, y: values[node], name, line: { color: data.colours[place % data.colours.length], width: 1.2 } });
  });
  Plotly.react("series", lines.map((line) => ({ mode: "lines", ...line })), layout, options);
}

const text = data.ids.map((id, node) => `${id}: ${data.errors[node]}`);
Plotly.newPlot("map", [{ x: data.points[0], y: data.points[1], mode: "markers", type: "scattergl", text,
  hoverinfo: "text", marker: { color: data.errors, colorscale: "Viridis", size: 9, showscale: true } }],
{ ...layout, showlegend: false, hovermode: "closest", xaxis: { title: { text: data.axes[0] } },
  yaxis: { title: { text: data.axes[1] } } }, options);
document.getElementById("map").on("plotly_click", (event) => series(event.points[0].pointNumber));
series(data.first);

const table = document.createElement("table");
for (const [name, value] of data.record) {
  const row = table.insertRow(), head = document.createElement("th");
  head.textContent = name;
  row.append(head);
  row.insertCell().textContent = value;
}
document.getElementById("record").append(table);
