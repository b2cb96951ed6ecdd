// Tables: a click on a column's head sorts by it, another one the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const number = (cell) => parseFloat(cell.textContent.replace(/,/g, ""));
  heads.forEach((head, column) => {
    const cells = [...body.rows].map((row) => row.cells[column]);
    const filled = cells.filter((cell) => cell.textContent.trim() && cell.textContent !== "—");
    const numeric = filled.length > 0 && filled.every((cell) => /^[-+]?[\d.]/.test(cell.textContent) && !cell.querySelector("code"));
    if (numeric) [head, ...cells].forEach((cell) => cell.classList.add("number"));
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) => {
        const [x, y] = [a.cells[column], b.cells[column]];
        if (!numeric) return x.textContent.localeCompare(y.textContent, "en", { numeric: true }) * (up ? 1 : -1);
        const [p, q] = [number(x), number(y)];
        // What is not there comes last, whichever way.
        if (isNaN(p) || isNaN(q)) return isNaN(p) - isNaN(q);
        return (p - q) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}

// In print nobody can open it.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.print")) details.open = true;
});
