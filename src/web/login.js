// A one-time code after the # of the address is sent as if it had been typed, and taken out of the address.

function redeem() {
  const input = document.querySelector("input[name=code]");
  const code = decodeURIComponent(location.hash.slice(1));
  if (!input || !/^[a-z2-7-]{16,24}$/i.test(code)) return;
  history.replaceState(null, "", location.pathname + location.search);
  input.value = code;
  input.form.submit();
}

redeem();
addEventListener("hashchange", redeem);
