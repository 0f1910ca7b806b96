<#import "template.ftl" as layout>
<@layout.registrationLayout displayMessage=false displayInfo=(client.clientId!'') == 'storefront'; section>
<#if section = "header">${kcSanitize(msg("errorTitle"))?no_esc}
<#elseif section = "form">
<p class="alert error" role="alert">${kcSanitize(message.summary)?no_esc}</p>
<#elseif section = "info">
<a class="button" href="/verify">Confirm your e-mail address</a>
<a class="button" href="/login">Log in again</a>
</#if>
</@layout.registrationLayout>
