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
  const charts = new Map();

  function readTable(figure) {
    const heads = [...figure.querySelectorAll("thead th")].slice(1).filter((th) => !("sum" in th.dataset));
    const rows = [...figure.querySelectorAll("tbody tr")];
    const cells = rows.map((row) => [...row.querySelectorAll("td[data-value]")]);
    return {
      labels: rows.map((row) => row.querySelector("th").dataset.short),
      links: rows.map((row) => row.querySelector("th a")?.href),
      totals: cells.map((row) => row.reduce((sum, cell) => sum + Number(cell.dataset.value), 0)),
      sums: rows.map((row) => row.querySelector("td[data-sum]").textContent.trim()),
      series: heads.map((th, at) => ({
        name: th.textContent,
        colour: colour(`--region-${th.dataset.colour}`),
        links: cells.map((row) => row[at].querySelector("a")?.href),
        values: cells.map((row) => Number(row[at].dataset.value)),
        texts: cells.map((row) => row[at].textContent.trim()),
      })),
    };
  }

  /* Where the scale ends: one day in ten may be far above all others (four times the next), which would be flat lines
     beside it. Its bar is cut then, and says its sum. Undefined: all fit. */
  function scaleEnd(totals) {
    const used = totals.filter((total) => total > 0).sort((a, b) => b - a);
    for (let above = 1; above <= Math.ceil(used.length / 10) && above < used.length; above++)
      if (used.length > 3 && used[above - 1] > 4 * used[above]) return 1.25 * used[above];
    return undefined;
  }
  /* What is cut has a gap at the top, and its sum above it. */
  const cutBars = {
    id: "cutBars",
    afterDatasetsDraw(chart, _, { end, totals, sums }) {
      if (!end) return;
      const { ctx, chartArea: area } = chart;
      ctx.save();
      ctx.font = `600 11.5px ${Chart.defaults.font.family}`;
      ctx.textAlign = "center";
      let before = -Infinity, row = 0;
      totals.forEach((total, at) => {
        if (total <= end) return;
        const bar = chart.getDatasetMeta(0).data[at];
        ctx.fillStyle = colour("--surface");
        for (const y of [area.top + 20, area.top + 25]) ctx.fillRect(bar.x - bar.width, y, 2 * bar.width, 2.5);
        const half = ctx.measureText(sums[at]).width / 2 + 5;
        const x = Math.min(Math.max(bar.x, area.left + half), area.right - half);
        row = x - half < before ? 1 - row : 0; // beside each other they stand in two rows
        before = x + half;
        ctx.fillRect(x - half, area.top - 18 + 16 * row, 2 * half, 16);
        ctx.fillStyle = colour("--text");
        ctx.fillText(sums[at], x, area.top - 6 + 16 * row);
      });
      ctx.restore();
    },
  };

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
    const soft = colour("--faint"), line = colour("--line"), unit = figure.dataset.unit;
    const end = figure.dataset.whole ? undefined : scaleEnd(table.totals);
    const numbers = new Intl.NumberFormat(document.documentElement.lang);
    figure.querySelector("[data-clipped]").hidden = !end;
    const still = quiet || matchMedia("(prefers-reduced-motion: reduce)").matches;
    charts.get(figure)?.destroy();
    charts.set(figure, new Chart(figure.querySelector("canvas"), {
      type: "bar",
      data: {
        labels: table.labels,
        datasets: table.series.map((one) => ({
          label: one.name, data: one.values, backgroundColor: one.colour, borderRadius: 3,
          borderColor: colour("--surface"), borderWidth: { top: 1 },
          borderSkipped: "bottom", maxBarThickness: 34, categoryPercentage: 0.72, barPercentage: 1, stack: "all",
        })),
      },
      plugins: [cutBars],
      options: {
        onClick: (event, _, chart) => {
          const [bar] = chart.getElementsAtEventForMode(event, "nearest", { intersect: true }, false);
          const link = bar ? table.series[bar.datasetIndex].links[bar.index] : undefined;
          if (link) window.location = link;
        },
        onHover: (event, _, chart) => {
          const on = chart.getElementsAtEventForMode(event, "nearest", { intersect: true }, false).length > 0;
          chart.canvas.style.cursor = on ? "pointer" : "default";
        },
        maintainAspectRatio: false, responsive: true, animation: still ? false : { duration: 350 },
        interaction: { mode: "index", intersect: false },
        scales: {
          x: { stacked: true, grid: { display: false }, border: { color: line },
            ticks: { color: soft, maxRotation: 0, autoSkipPadding: 14, font: { size: 11.5 } } },
          y: { stacked: true, beginAtZero: true, max: end, grid: { color: line }, border: { display: false },
            ticks: { color: soft, maxTicksLimit: 5, padding: 8, font: { size: 11.5 }, callback: (value) => (value === end ? "" : numbers.format(value)) } },
        },
        plugins: {
          cutBars: { end, totals: table.totals, sums: table.sums },
          subtitle: { display: true, text: unit, align: "start", color: soft, font: { size: 11.5 }, padding: { bottom: 8 } }, // not turned, as a title of the axis is
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
    const whole = event.target.closest("[data-whole]")?.closest("figure");
    if (whole) { whole.dataset.whole = "yes"; draw(whole, true); }
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
