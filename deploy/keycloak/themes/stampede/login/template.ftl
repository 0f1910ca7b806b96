<#-- The frame of every page that Keycloak shows: the shop's own head, one card, no script. -->
<#macro registrationLayout bodyClass="" displayInfo=false displayMessage=true displayRequiredFields=false>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>Log in · Stampede</title>
<link rel="icon" href="${url.resourcesPath}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${url.resourcesPath}/css/tokens.css">
<link rel="stylesheet" href="${url.resourcesPath}/css/login.css">
</head>
<body>
<header>
  <a class="brand" href="/">
    <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="9"/>
      <path d="M7 21.5 13.5 9h4.2l-6.5 12.5zM14 21.5 20.5 9h4.2l-6.5 12.5z"/>
    </svg>
    Stampede
  </a>
</header>
<main>
<h1><#nested "header"></h1>
<#if displayMessage && message?has_content && (message.type != 'warning' || !isAppInitiatedAction??)>
<p class="alert ${message.type}" role="alert">${kcSanitize(message.summary)?no_esc}</p>
</#if>
<#nested "form">
<#if displayInfo><div class="info"><#nested "info"></div></#if>
</main>
<footer>
  <a href="/">Back to the shop</a>
  <a href="/privacy">Privacy</a>
</footer>
</body>
</html>
</#macro>
