// Search over all names of the site (names.js), and formulas, where KaTeX is there to draw them.
document.querySelector("nav details").open = matchMedia("(min-width: 52rem)").matches;

const search = document.querySelector("#search");
const found = document.querySelector("#found");

search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  const fits = ([name]) => name.toLowerCase().includes(wanted);
  const begins = ([name]) => name.toLowerCase().split("::").pop().startsWith(wanted) ? 0 : 1;
  const hits = wanted ? names.filter(fits).sort((a, b) => begins(a) - begins(b)).slice(0, 30) : [];
  if (wanted && !hits.length) {
    found.textContent = `No name or heading has "${search.value.trim()}".`;
    return;
  }
  found.replaceChildren(...hits.map(([name, target]) => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.textContent = name;
    link.href = target;
    item.append(link);
    return item;
  }));
});

for (const formula of window.katex ? document.querySelectorAll(".math") : []) {
  katex.render(formula.textContent, formula, {displayMode: formula.tagName === "DIV", throwOnError: false});
}
