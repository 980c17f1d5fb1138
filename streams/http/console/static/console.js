/* What a page does by itself: charts from their tables, dialogs, one answer for a double click. Pages work without it,
   but for charts (their tables stay) and live figures. */
"use strict";
(() => {
  /* -- charts: drawn from the figure's own table; numbers are for drawing only, the figures stay as text -- */
  const colour = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const palette = () => [1, 2, 3, 4, 5, 6].map((n) => colour(`--chart-${n}`));
  const charts = new Map();

  function readTable(figure) {
    const heads = [...figure.querySelectorAll("thead th")].slice(1).filter((th) => !("sum" in th.dataset));
    const rows = [...figure.querySelectorAll("tbody tr")];
    const cells = rows.map((row) => [...row.querySelectorAll("td[data-value]")]);
    return {
      labels: rows.map((row) => row.querySelector("th").dataset.label),
      sums: rows.map((row) => row.querySelector("td[data-sum]").textContent.trim()),
      series: heads.map((th, at) => ({
        name: th.textContent,
        values: cells.map((row) => Number(row[at].dataset.value)),
        texts: cells.map((row) => row[at].textContent.trim()),
      })),
    };
  }

  /* A name that is wider than there is room, as on a phone, ends in dots; the table has all of it. */
  function fitting(chart, name, room) {
    chart.ctx.save();
    chart.ctx.font = `${Chart.defaults.font.size}px ${Chart.defaults.font.family}`;
    let text = name;
    for (let length = name.length - 1; length > 1 && chart.ctx.measureText(text).width > room; length--)
      text = `${name.slice(0, length).trimEnd()}…`;
    chart.ctx.restore();
    return text;
  }
  const legendOf = (chart) => Chart.defaults.plugins.legend.labels.generateLabels(chart)
    .map((label) => ({ ...label, text: fitting(chart, label.text, chart.width - 40) }));

  function draw(figure, quiet) {
    const table = readTable(figure);
    const colours = palette();
    const soft = colour("--faint"), line = colour("--line"), unit = figure.dataset.unit;
    const still = quiet || matchMedia("(prefers-reduced-motion: reduce)").matches;
    charts.get(figure)?.destroy();
    charts.set(figure, new Chart(figure.querySelector("canvas"), {
      type: "bar",
      data: {
        labels: table.labels,
        datasets: table.series.map((one, at) => ({
          label: one.name, data: one.values, backgroundColor: colours[at % colours.length], borderRadius: 3,
          borderSkipped: "bottom", maxBarThickness: 34, categoryPercentage: 0.72, barPercentage: 1, stack: "all",
        })),
      },
      options: {
        maintainAspectRatio: false, responsive: true, animation: still ? false : { duration: 350 },
        interaction: { mode: "index", intersect: false },
        scales: {
          x: { stacked: true, grid: { display: false }, border: { color: line },
            ticks: { color: soft, maxRotation: 0, autoSkipPadding: 14, font: { size: 11.5 } } },
          y: { stacked: true, beginAtZero: true, grid: { color: line }, border: { display: false },
            ticks: { color: soft, maxTicksLimit: 5, padding: 8, font: { size: 11.5 } } },
        },
        plugins: {
          legend: { display: table.series.length > 1, position: "bottom", align: "start",
            labels: { generateLabels: legendOf, color: colour("--soft"), boxWidth: 9, boxHeight: 9, useBorderRadius: true, borderRadius: 2, padding: 14 } },
          tooltip: { padding: 11, cornerRadius: 8, boxPadding: 5, usePointStyle: true,
            callbacks: {
              label: (item) => table.series[item.datasetIndex].values[item.dataIndex]
                ? ` ${fitting(item.chart, item.dataset.label, item.chart.width - 150)}  ${table.series[item.datasetIndex].texts[item.dataIndex]}` : null,
              footer: (items) => (items.length ? `${table.sums[items[0].dataIndex]} ${unit}` : ""),
            } },
        },
      },
    }));
    figure.dataset.drawn = "yes";
  }

  function drawAll(root, quiet) {
    for (const figure of root.querySelectorAll("figure[data-chart]")) {
      if (!window.Chart) figure.classList.add("failed");
      else draw(figure, quiet);
    }
    for (const [figure, chart] of charts) if (!figure.isConnected) { chart.destroy(); charts.delete(figure); }
  }

  if (window.Chart) Chart.defaults.font.family = getComputedStyle(document.documentElement).fontFamily;
  drawAll(document, false);
  document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt, true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document, true));

  /* -- dialogs -- */
  /* It begins at what is wrong, else at what would happen, else at the first field. */
  function open(dialog) {
    dialog.removeAttribute("open"); // as it was sent, for browsers without scripts
    dialog.showModal();
    const first = dialog.querySelector("[aria-invalid]") || dialog.querySelector("[data-first]")
      || dialog.querySelector("form input:not([type=hidden]), form select, form textarea");
    first?.focus();
  }
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    const dialog = opener && document.getElementById(opener.dataset.open);
    if (dialog) {
      event.preventDefault();
      opener.closest("details.menu")?.removeAttribute("open");
      open(dialog);
    } else if (!event.target.closest("details.menu")) {
      document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open"));
    }
    if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
    if (event.target.closest("[data-print]")) window.print();
    if (event.target.matches("dialog")) event.target.close();
  });
  const asked = document.querySelector("dialog[data-now]");
  if (asked) open(asked);

  /* -- a form is sent once: the server would see that it is the same command, and so does the reader -- */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    setTimeout(() => form.querySelectorAll("button:not([type=button])").forEach((button) => {
      button.setAttribute("aria-disabled", "true");
      if (button.classList.contains("main")) button.prepend(Object.assign(document.createElement("span"), { className: "spin" }));
    }));
  });
  /* A page that comes back from the browser's memory may be sent again: it is the same command. */
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.querySelectorAll(".spin").forEach((spin) => spin.remove());
      form.querySelectorAll("[aria-disabled]").forEach((button) => button.removeAttribute("aria-disabled"));
    }
  });

  /* -- the server is away: what is shown stays, and its age is said -- */
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, () => {
      const place = document.getElementById("freshness");
      if (!place) return;
      const dot = document.createElement("span");
      dot.className = "live-dot away";
      place.replaceChildren(dot, place.dataset.away);
    });
  }
})();
