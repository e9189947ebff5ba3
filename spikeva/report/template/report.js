"use strict";
// Sortable tables: the head's button sorts its column, again turns the order round. Baselines take part.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.sort;
    const numeric = [...table.tBodies[0].rows].every(row => key(row) === "" || !Number.isNaN(Number(key(row))));
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");  // what is missing stays last
      const order = numeric ? Number(x) - Number(y) : x.localeCompare(y);
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
}
// Clip viewer: one slider moves three film strips and the cursor in the time course.
for (const viewer of document.querySelectorAll(".viewer")) {
  const clips = JSON.parse(viewer.querySelector("script").textContent);
  const [slider, said, choice] = ["input", "output", "select"].map(name => viewer.querySelector(name));
  const play = viewer.querySelector("button");
  const courses = [...viewer.querySelectorAll(".course")];
  let clip = clips[0], timer = null;
  const show = () => {
    const at = Number(slider.value), n = clip.t_us.length, share = n > 1 ? at / (n - 1) : 0;
    viewer.querySelectorAll(".pictures div").forEach(picture => {
      picture.style.backgroundPosition = `${100 * share}% 0`;
    });
    const values = ["valence", "arousal"].map((name, i) => clip.values.map(
      ([who, series]) => `${who} ${name} ${series[at][i].toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−")}`).join(", "));
    said.textContent = [`${(clip.t_us[at] / 1e6).toFixed(2)} s`, ...values.filter(Boolean)].join(" · ");
    slider.setAttribute("aria-valuetext", said.textContent);
    const course = courses[clips.indexOf(clip)];
    const cursor = course.querySelector(".cursor");
    if (cursor) {
      const [left, right] = clip.span, [first, last] = [clip.t_us[0], clip.t_us[n - 1]];
      const time = last > first ? (clip.t_us[at] - first) / (last - first) : 0;
      cursor.style.left = `${100 * (left + time * (right - left))}%`;
    }
  };
  const choose = () => {
    clip = clips[Number(choice.value)];
    viewer.querySelector(".pictures").style.setProperty("--aspect", clip.aspect);
    slider.max = clip.t_us.length - 1;
    slider.value = Math.floor(clip.t_us.length / 2);
    viewer.querySelectorAll(".pictures div").forEach((picture, i) => {
      picture.parentNode.hidden = !clip.strips[i];  // a clip without a video
      picture.style.backgroundImage = clip.strips[i] ? `url(${clip.strips[i]})` : "none";
      picture.style.backgroundSize = `${100 * clip.t_us.length}% 100%`;
    });
    courses.forEach((course, i) => { course.hidden = i !== Number(choice.value); });
    show();
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % clip.t_us.length;
      show();
    }, 80);
  });
  slider.addEventListener("input", () => { stop(); show(); });
  choice.addEventListener("change", () => { stop(); choose(); });
  choose();
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));
