// Sends the token of a link, which stands behind its #, and takes it out of the address. A link may come while this page
// is open, too.
(function () {
  "use strict";
  function enter() {
    var token = location.hash.slice(1);
    if (!/^[0-9a-f]{64}$/.test(token)) { return; }
    history.replaceState(null, "", location.pathname);
    document.getElementById("token").value = token;
    document.getElementById("in").submit();
  }
  window.addEventListener("hashchange", enter);
  enter();
}());
