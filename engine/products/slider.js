"use strict";
// Maps of many years to move through. The values are explained in slider.py.
document.querySelectorAll("[data-years]").forEach((box) => {
  const MISSING = -32768, LAND = 3, COAST = 2, SEA = 1;
  const find = (selector) => box.querySelector(selector);
  const data = JSON.parse(find("script").textContent);
  const { rows, cols, years } = data;
  const range = find("input[type=range]"), play = find(".years-play"), now = find(".years-now");
  const fine = Math.max(rows, cols) >= 200;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  let view = 0, year = years.length - 1, point = null, timer = 0;
  let panels = [], land = null, ground = null, tables = [];

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const inflate = async (text) => {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const written = (value, sign = false) => {
    if (value === null || !Number.isFinite(value)) return "–";
    const text = Math.abs(value).toFixed(data.digits);
    const zero = Number(text) === 0;
    return (value < 0 && !zero ? "−" : sign && !zero ? "+" : "") + text;
  };

  // -- values ---------------------------------------------------------------------------------
  const unpack = (raw, count) => {
    const found = new Int16Array(count * years.length);
    for (let t = 0, from = 0; t < years.length; t++, from += 2 * count) {
      let left = 0;
      for (let i = 0; i < count; i++) {
        const folded = raw[from + i] | (raw[from + count + i] << 8);
        const difference = (folded >>> 1) ^ -(folded & 1);
        const before = t ? found[(t - 1) * count + i] : left;
        left = found[t * count + i] = before + difference; // wraps at 16 bits, as it was made
      }
    }
    return found;
  };
  const begin = async () => {
    ground = await inflate(data.ground);
    land = [];
    ground.forEach((kind, pixel) => { if (kind === LAND) land.push(pixel); });
    land = Int32Array.from(land);
    const place = new Int32Array(ground.length).fill(-1);
    land.forEach((pixel, i) => { place[pixel] = i; });
    panels = await Promise.all(data.panels.map(async (panel) => ({
      ...panel, held: unpack(await inflate(panel.values), land.length),
      at: (pixel, t) => {
        const i = place[pixel], held = panels.find((p) => p.label === panel.label).held;
        if (i < 0) return null;
        const stored = held[t * land.length + i];
        return stored === MISSING ? null : data.offset + data.step * stored;
      },
    })));
    data.panels.forEach((panel) => { delete panel.values; });
    build();
    box.classList.add("ready");
    draw();
  };

  // -- colours --------------------------------------------------------------------------------
  const css = (name) => getComputedStyle(box).getPropertyValue(name).trim();
  const packed = (r, g, b, a = 255) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const hex = (text) => {
    const n = parseInt(text.slice(1), 16);
    return packed(n >> 16, (n >> 8) & 255, n & 255);
  };
  const lookup = (scale, signed) => {
    // colour of each stored number, or of each difference of two
    const reach = 65536, table = new Uint32Array(signed ? 2 * reach : reach);
    const colours = bytes(scale.colours);
    for (let k = 0; k < table.length; k++) {
      const value = signed ? (k - reach) * data.step : data.offset + (k - 32768) * data.step;
      const share = scale.log
        ? Math.log(Math.max(value, scale.low) / scale.low) / Math.log(scale.high / scale.low)
        : (value - scale.low) / (scale.high - scale.low);
      const c = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
      table[k] = packed(colours[c], colours[c + 1], colours[c + 2]);
    }
    return table;
  };

  // -- drawing --------------------------------------------------------------------------------
  const paint = (panel) => {
    const image = panel.image, pixels = new Uint32Array(image.data.buffer), count = land.length;
    const sea = hex(css("--sea"));
    const blank = packed(140, 147, 154, 120), stripe = packed(120, 127, 134, 150);
    for (let p = 0; p < ground.length; p++) {
      const kind = ground[p];
      pixels[p] = kind === SEA ? sea : kind === COAST ? packed(92, 102, 110, 190) : 0;
    }
    const { held } = panel, from = year * count, start = panel.since * count, table = tables[view];
    for (let i = 0; i < count; i++) {
      const stored = held[from + i], first = held[start + i], p = land[i];
      if (stored === MISSING || (view && first === MISSING)) {
        pixels[p] = fine && ((p % cols) + Math.floor(p / cols)) % 7 < 2 ? stripe : blank;
      } else {
        pixels[p] = view ? table[stored - first + 65536] : table[stored + 32768];
      }
    }
    const context = panel.canvas.getContext("2d");
    context.putImageData(image, 0, 0);
    if (point) {
      const size = Math.max(1, cols / panel.canvas.clientWidth || 1);
      for (const [colour, width] of [["#fefefe", 4.5], ["#1d2731", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = width * size;
        context.beginPath();
        context.arc(point[0] + .5, point[1] + .5, 6 * size, 0, 7);
        context.stroke();
      }
    }
  };
  const course = (panel) => {
    const pixel = point && point[1] * cols + point[0];
    const found = years.map((_, t) => (point ? panel.at(pixel, t) : panel.mean[t]));
    const first = found[panel.since];
    return view ? found.map((v) => (v === null || first === null ? null : v - first)) : found;
  };
  const where = () => {
    if (!point) return "Mean of the whole map";
    if (!data.place) return "At the marked place";
    const [west, north, dx, dy] = data.place;
    const lon = west + (point[0] + .5) * dx, lat = north - (point[1] + .5) * dy;
    const put = (v, plus, minus) => `${Math.abs(v).toFixed(2)}° ${v < 0 ? minus : plus}`;
    return `At ${put(lat, "N", "S")}, ${put(lon, "E", "W")}`;
  };
  const chart = () => {
    const host = find(".years-chart"), wide = Math.max(260, host.clientWidth), tall = 150;
    const left = 46, right = 10, top = 8, bottom = 22;
    const lines = panels.map(course), all = lines.flat().filter((v) => v !== null);
    find(".years-point span").textContent =
      `${where()}: ${(view ? data.views[1].label : data.views[0].label).toLowerCase()}, ${data.units}`;
    find(".years-point button").hidden = !point;
    if (!all.length) { host.replaceChildren(); return; }
    let low = Math.min(...all), high = Math.max(...all);
    const least = Math.max(10 ** -data.digits * 4, Math.abs(high) * .02);
    if (high - low < least) { const middle = (low + high) / 2; low = middle - least / 2; high = middle + least / 2; }
    const pad = (high - low) * .08;
    low -= pad; high += pad;
    const x = (t) => left + (years[t] - years[0]) / (years.at(-1) - years[0]) * (wide - left - right);
    const y = (v) => top + (high - v) / (high - low) * (tall - top - bottom);
    const step = [1, 2, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10((high - low) / 3)))
      .find((s) => (high - low) / s <= 4);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const parts = [];
    for (let v = Math.ceil(low / step) * step; v <= high; v += step) {
      const text = Math.abs(v).toFixed(digits), sign = v < -step / 2 ? "−" : view && v > step / 2 ? "+" : "";
      parts.push(`<line x1="${left}" x2="${wide - right}" y1="${y(v)}" y2="${y(v)}" stroke="var(--rule)"/>`);
      parts.push(`<text x="${left - 7}" y="${y(v) + 4}" text-anchor="end">${sign}${text}</text>`);
    }
    const gap = [1, 2, 5, 10, 20, 50].find((g) => (years.at(-1) - years[0]) / g * 44 <= wide - left) || 100;
    years.forEach((name, t) => {
      if (name % gap === 0) parts.push(`<text x="${x(t)}" y="${tall - 5}" text-anchor="middle">${name}</text>`);
    });
    parts.push(`<line x1="${x(year)}" x2="${x(year)}" y1="${top}" y2="${tall - bottom}" stroke="var(--ink)" stroke-dasharray="3 3"/>`);
    panels.forEach((panel, i) => {
      let path = "", pen = "M";
      lines[i].forEach((v, t) => {
        if (v === null) { pen = "M"; return; }
        path += `${pen}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = "L";
      });
      const colour = `var(${panel.colour})`, value = lines[i][year];
      parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2" stroke-linejoin="round"/>`);
      if (value !== null) parts.push(`<circle cx="${x(year)}" cy="${y(value)}" r="4" fill="${colour}"/>`);
      panel.number.textContent = written(value, Boolean(view));
    });
    const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawing.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
    drawing.setAttribute("aria-hidden", "true");
    drawing.innerHTML = parts.join("");
    host.replaceChildren(drawing);
    host.setAttribute("aria-label", `${where()}, ${years[year]}: ` + panels.map(
      (panel, i) => `${panel.label} ${written(lines[i][year], Boolean(view))}`).join(", "));
  };
  const legend = () => {
    const scale = data.views[view], host = find(".years-scale");
    const ticks = scale.ticks.map(([share, text]) => `<span style="left:${100 * share}%">${text}</span>`);
    host.innerHTML = `<canvas width="256" height="1"></canvas><div>${ticks.join("")}</div><p></p>`;
    host.querySelector("p").textContent = scale.words;
    host.setAttribute("aria-label", `Colours: ${scale.words}, ${scale.ticks.map((t) => t[1]).join(", ")}`);
    const context = host.querySelector("canvas").getContext("2d"), image = context.createImageData(256, 1);
    const colours = bytes(scale.colours);
    for (let c = 0; c < 256; c++) image.data.set([...colours.subarray(3 * c, 3 * c + 3), 255], 4 * c);
    context.putImageData(image, 0, 0);
  };
  const draw = () => {
    now.textContent = years[year];
    range.value = year;
    range.setAttribute("aria-valuetext", years[year]);
    panels.forEach((panel) => {
      paint(panel);
      panel.canvas.setAttribute("aria-label",
        `Map: ${panel.label}, ${data.views[view].label.toLowerCase()}, ${years[year]}. Arrow keys move the marked place.`);
    });
    chart();
  };

  // -- controls -------------------------------------------------------------------------------
  const go = (wanted) => { year = Math.min(years.length - 1, Math.max(0, wanted)); draw(); };
  const stop = () => { clearTimeout(timer); timer = 0; play.textContent = "Play"; };
  const start = () => {
    const pause = calm.matches ? 1500 : 650;
    play.textContent = "Pause";
    if (year === years.length - 1) go(0);
    const step = () => {
      const last = year === years.length - 1;
      if (last && calm.matches) { stop(); return; }
      go(last ? 0 : year + 1);
      timer = setTimeout(step, year === years.length - 1 ? 3 * pause : pause);
    };
    timer = setTimeout(step, pause);
  };
  const mark = (x, y) => {
    point = [Math.min(cols - 1, Math.max(0, x)), Math.min(rows - 1, Math.max(0, y))];
    draw();
  };
  const build = () => {
    tables = [lookup(data.views[0], false), lookup(data.views[1], true)];
    const host = find(".years-maps");
    host.style.setProperty("--least", cols > 1.4 * rows ? "19rem" : "10rem");
    panels.forEach((panel) => {
      const figure = document.createElement("figure");
      figure.innerHTML = "<figcaption><span><i></i></span><b></b></figcaption><canvas tabindex='0' role='img'></canvas>";
      figure.style.setProperty("--line", `var(${panel.colour})`);
      figure.querySelector("span").append(panel.label);
      panel.number = figure.querySelector("b");
      panel.canvas = figure.querySelector("canvas");
      panel.canvas.width = cols;
      panel.canvas.height = rows;
      panel.canvas.classList.toggle("coarse", cols < 260);
      panel.image = panel.canvas.getContext("2d").createImageData(cols, rows);
      const pick = (event) => {
        const edge = panel.canvas.getBoundingClientRect();
        mark(Math.floor((event.clientX - edge.left) / edge.width * cols),
          Math.floor((event.clientY - edge.top) / edge.height * rows));
      };
      panel.canvas.addEventListener("click", pick);
      panel.canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && event.buttons) pick(event); });
      panel.canvas.addEventListener("keydown", (event) => {
        const [x, y] = point || [cols >> 1, rows >> 1], far = event.shiftKey ? 10 : 1;
        const to = { ArrowLeft: [x - far, y], ArrowRight: [x + far, y], ArrowUp: [x, y - far], ArrowDown: [x, y + far] }[event.key];
        if (to) { event.preventDefault(); mark(...to); }
      });
      host.append(figure);
    });
    data.views.forEach((one, i) => {
      const label = document.createElement("label");
      label.innerHTML = `<input type="radio" name="${box.id}-view"><span></span>`;
      label.querySelector("span").textContent = one.label;
      const input = label.querySelector("input");
      input.checked = i === view;
      input.addEventListener("change", () => { view = i; legend(); draw(); });
      find(".years-views").append(label);
    });
    legend();
    play.addEventListener("click", () => (timer ? stop() : start()));
    range.addEventListener("input", () => { stop(); go(Number(range.value)); });
    find(".years-point button").addEventListener("click", () => { point = null; draw(); play.focus(); });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && point) { point = null; draw(); }
      if (event.target !== play) return;
      const to = { ArrowLeft: year - 1, ArrowRight: year + 1, Home: 0, End: years.length - 1 }[event.key];
      if (to !== undefined) { event.preventDefault(); stop(); go(to); }
    });
    document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    let wide = 0;
    if ("ResizeObserver" in window) new ResizeObserver(([entry]) => {
      if (entry.contentRect.width === wide) return;
      wide = entry.contentRect.width;
      requestAnimationFrame(draw);
    }).observe(find(".years-chart").parentElement);
  };

  // Values are unpacked when the maps come near, so that the page opens at once.
  const open = () => begin().catch(() => {
    find(".years-without").append(" This browser is too old to show the maps of every year.");
  });
  if ("IntersectionObserver" in window) {
    const near = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) { near.disconnect(); open(); }
    }, { rootMargin: "800px" });
    near.observe(box);
  } else open();
});
