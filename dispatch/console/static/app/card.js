// Steps of a response card: what was ticked stays ticked on this desk, over renewals of the page. It is a
// reminder for whoever works here, not a record: what was done is recorded by the case's own actions.

const KEY = "cityvigil-steps/";

const read = (card) => JSON.parse(localStorage.getItem(KEY + card.dataset.steps) ?? "[]");

export function showSteps(root) {
  for (const card of root.querySelectorAll(".response-card")) {
    const ticked = new Set(read(card));
    for (const box of card.querySelectorAll("input[data-step]")) box.checked = ticked.has(Number(box.dataset.step));
  }
}

export function startSteps() {
  document.body.addEventListener("change", (event) => {
    const card = event.target.closest?.(".response-card");
    if (!card) return;
    const ticked = [...card.querySelectorAll("input[data-step]:checked")].map((box) => Number(box.dataset.step));
    localStorage.setItem(KEY + card.dataset.steps, JSON.stringify(ticked));
    event.target.blur(); // a tick is no writing: the detail may be renewed under it
  });
}
