<#import "template.ftl" as layout>
<#assign wrong = messagesPerField.existsError('username','password')>
<#assign shopper = (client.clientId!'') == 'storefront'>
<@layout.registrationLayout displayMessage=!wrong displayInfo=shopper; section>
<#if section = "header"><#if shopper>Log in<#else>Back office</#if>
<#elseif section = "form">
<form action="${url.loginAction}" method="post">
  <#if wrong>
  <p class="alert error" role="alert" id="wrong">
    ${kcSanitize(messagesPerField.getFirstError('username','password'))?no_esc}
  </p>
  </#if>
  <label for="username">E-mail address</label>
  <input id="username" name="username" type="email" value="${(login.username!'')}" autocomplete="username" required
      <#if (login.username!'') == ''>autofocus</#if>
      <#if wrong>aria-invalid="true" aria-describedby="wrong"</#if>>
  <div class="row">
    <label for="password">Password</label>
    <#if shopper><a href="/password/forgot">Forgotten?</a></#if>
  </div>
  <input id="password" name="password" type="password" autocomplete="current-password" required
      <#if (login.username!'') != ''>autofocus</#if>
      <#if wrong>aria-invalid="true" aria-describedby="wrong"</#if>>
  <input type="hidden" name="credentialId" value="${(auth.selectedCredential)!''}">
  <button name="login" type="submit">Log in</button>
</form>
<#elseif section = "info">
<p>New here?</p>
<a class="button" href="/register">Create an account</a>
</#if>
</@layout.registrationLayout>
