(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- the table of scores: sort by a column, what is not a number comes last
  const table = document.querySelector("#per-image"), heads = table ? all("thead th", table) : [];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    const rows = all("tbody tr", table).map((row) => {
      const text = row.cells[column].textContent.trim();
      const number = Number(text.replace("inf", "Infinity"));
      return [Number.isNaN(number), Number.isNaN(number) ? text : number, row];
    });
    rows.sort(([aIsText, a], [bIsText, b]) => {
      if (aIsText !== bIsText) return aIsText - bIsText;
      return sign * (aIsText ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
    });
    table.tBodies[0].append(...rows.map(([, , row]) => row));
  }));

  // ---- the viewer, one image after the other
  const shots = JSON.parse(document.querySelector("#data").textContent);
  if (!shots.length) return;
  const viewer = new Viewer(document.querySelector("#viewer"));
  let current = 0;
  function show(index) {
    current = (index + shots.length) % shots.length;
    document.querySelector("#name").textContent = shots[current].title;
    document.querySelector("#figures").textContent = shots[current].text;
    for (const button of all("#thumbs [data-shot]")) button.ariaPressed = String(button.dataset.shot === `${current}`);
    viewer.show(shots[current]);
  }
  for (const button of all("[data-shot]")) {
    button.addEventListener("click", () => {
      show(Number(button.dataset.shot));
      document.querySelector("#name").scrollIntoView({ block: "nearest" });
      viewer.pane.focus({ preventScroll: true });
    });
  }
  addEventListener("keydown", (event) => {
    const step = { n: 1, p: -1 }[event.key];
    if (step && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== "SELECT") show(current + step);
  });
  show(0);
})();
