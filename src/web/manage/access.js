// Copies a link.

import { at } from "/manage.js";

const button = at("copy");
if (button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      // Where pages may not, as without TLS, the old way.
      getSelection().selectAllChildren(at("link"));
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
