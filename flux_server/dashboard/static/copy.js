// The dashboard works without any script; this one only shows the buttons that copy, and makes them work.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break; // on http, browsers keep it from all hosts but this machine
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    const before = button.innerHTML;
    button.textContent = "Copied";
    setTimeout(() => { button.innerHTML = before; }, 1500);
  });
}
