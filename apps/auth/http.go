package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/text"
)

// routes declares every operation of the service.
func (s *service) routes(api huma.API) {
	outbox.Feed(api, s.store.db, rest.Neighbours("users", "orders", "mail", "products"))
	const base = "/api/v1/auth"
	rest.Handle(api, rest.Op("POST", base+"/register", "Open an account", rest.Anyone, rest.Status(http.StatusCreated),
		rest.Describe("A mail with a code of six digits follows; the account is pending until it is verified. "+
			"A pending account of the address is replaced: its password, names and code are no longer good. "+
			"After a day a pending account ends."),
		rest.Problems(ErrEmailTaken)), s.postRegister)
	rest.Handle(api, rest.Op("POST", base+"/verify-email", "Verify the e-mail address with its code", rest.Anyone, rest.Status(http.StatusNoContent),
		rest.Problems(ErrCodeInvalid)), s.postVerifyEmail)
	rest.Handle(api, rest.Op("POST", base+"/verify-email/code", "Ask for a new code", rest.Anyone, rest.Status(http.StatusAccepted),
		rest.Describe("The answer is the same whether or not there is such a pending account.")), s.postVerifyEmailCode)
	rest.Handle(api, rest.Op("POST", base+"/login", "Log in", rest.Anyone,
		rest.Problems(ErrCredentialsInvalid, ErrAccountPending, ErrAccountSuspended)), s.postLogin)
	rest.Handle(api, rest.Op("POST", base+"/refresh", "Renew the tokens", rest.Anyone), s.postRefresh)
	rest.Handle(api, rest.Op("POST", base+"/logout", "Log out", rest.Anyone, rest.Status(http.StatusNoContent)), s.postLogout)
	rest.Handle(api, rest.Op("POST", base+"/password/forgot", "Ask for a code to reset the password", rest.Anyone,
		rest.Status(http.StatusAccepted),
		rest.Describe("The answer is the same whether or not there is such an account. A pending one gets a code, too.")), s.postForgot)
	rest.Handle(api, rest.Op("POST", base+"/password/reset", "Reset the password with its code", rest.Anyone,
		rest.Status(http.StatusNoContent),
		rest.Describe("All sessions of the account end. A pending account becomes active."),
		rest.Problems(ErrCodeInvalid)), s.postReset)
	rest.Handle(api, rest.Op("POST", base+"/password/change", "Change the password", rest.User, rest.Status(http.StatusNoContent),
		rest.Describe("All other sessions of the account end."), rest.Problems(ErrCredentialsInvalid, ErrAccountSuspended)), s.postChange)
	rest.Handle(api, rest.Op("POST", base+"/email/change", "Ask for a code to change the e-mail address", rest.User,
		rest.Status(http.StatusAccepted),
		rest.Describe("A mail with a code goes to the new address, and a notice to the present one. Nothing changes before the code "+
			"comes back. An account has one such code: the newest, until its password changes."),
		rest.Problems(ErrCredentialsInvalid, ErrEmailTaken, ErrAccountSuspended)), s.postEmailChange)
	rest.Handle(api, rest.Op("POST", base+"/email/verify", "Change the e-mail address with its code", rest.User,
		rest.Status(http.StatusNoContent),
		rest.Describe("All other sessions of the account end. Orders keep the address under which they were placed."),
		rest.Problems(ErrCodeInvalid, ErrEmailTaken)), s.postEmailVerify)
	rest.Handle(api, rest.Op("POST", base+"/deletion", "Delete one's account", rest.User, rest.Status(http.StatusAccepted),
		rest.Describe("The account, its sessions, profile, addresses, cart, logins and mails go. Orders stay, as the shop's books, "+
			"without the person: those that have ended at once, those on their way once they end."),
		rest.Problems(ErrCredentialsInvalid, ErrAccountSuspended)), s.postDeletion)
	rest.Handle(api, rest.Op("GET", base+"/verify-token", "Who the token belongs to", rest.User), s.getVerifyToken)
	rest.Handle(api, rest.Op("GET", base+"/login-history", "List one's own logins, newest first", rest.User), s.getLoginHistory)

	const admin = "/api/v1/admin/auth/accounts"
	rest.Handle(api, rest.Op("GET", admin, "List accounts", rest.Admin), s.adminListAccounts)
	rest.Handle(api, rest.Op("POST", admin+"/import", "Import the customers of another shop", rest.Admin, rest.Uploads("text/csv"),
		rest.Describe("The CSV of customers that Shopify exports, as the body or as the file of a form, up to 16 MiB. Whoever has no "+
			"account gets a pending one, in the background, without a password: the code of a forgotten one sets it. An address that "+
			"is not one of its country is left out. The same file again changes nothing.")), s.importCustomers)
	rest.Handle(api, rest.Op("POST", "/internal/accounts/owners", "Read whose e-mail addresses are", rest.Neighbours("orders"),
		rest.Describe("Only those that were proved.")), s.postOwners)
	rest.Handle(api, rest.Op("GET", admin+"/arrivals", "Count the imported customers who wait for their account", rest.Admin),
		s.getArrivals)
	rest.Handle(api, rest.Op("GET", admin+"/{account_id}", "Read one account", rest.Admin,
		rest.Problems(ErrAccountNotFound)), s.adminGetAccount)
	rest.Handle(api, rest.Op("GET", admin+"/{account_id}/login-history", "List an account's logins", rest.Admin,
		rest.Problems(ErrAccountNotFound)), s.adminLoginHistory)
	rest.Handle(api, rest.Op("POST", admin+"/{account_id}/suspension", "Suspend an account", rest.Admin,
		rest.Describe("Its owner can neither log in nor order, and its sessions end. The role ADMIN, if it has it, is taken for good."),
		rest.Problems(ErrAccountNotFound, ErrNotSuspendable, ErrOwnAccount)), s.adminSuspend)
	rest.Handle(api, rest.Op("DELETE", admin+"/{account_id}/suspension", "Activate a suspended account again", rest.Admin,
		rest.Problems(ErrAccountNotFound, ErrNotSuspended, ErrOwnAccount)), s.adminReadmit)
}

// registerInput: 128 characters is our limit for passwords; Keycloak has none.
type registerInput struct {
	Body struct {
		Email     string `json:"email" minLength:"3" maxLength:"254" example:"ann@example.test"`
		Password  string `json:"password" minLength:"10" maxLength:"128"`
		FirstName string `json:"first_name" text:"line" minLength:"1" maxLength:"100" example:"Ann"`
		LastName  string `json:"last_name" text:"line" minLength:"1" maxLength:"100" example:"Lee"`
	}
}

type registerOutput struct {
	Body struct {
		AccountID uuid.UUID `json:"account_id" format:"uuid"`
		Email     string    `json:"email"`
		Status    Status    `json:"status" enum:"pending"`
	}
}

func (s *service) postRegister(ctx context.Context, in *registerInput) (*registerOutput, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	if err := CheckName("body.first_name", in.Body.FirstName); err != nil {
		return nil, err
	}
	if err := CheckName("body.last_name", in.Body.LastName); err != nil {
		return nil, err
	}
	if err := CheckPassword("body.password", in.Body.Password, email, in.Body.FirstName, in.Body.LastName); err != nil {
		return nil, err
	}
	a, err := s.register(ctx, email, in.Body.FirstName, in.Body.LastName, in.Body.Password, rest.ClientAddress(ctx))
	if err != nil {
		return nil, err
	}
	out := &registerOutput{}
	out.Body.AccountID, out.Body.Email, out.Body.Status = *a.AccountID, a.Email, a.Status
	return out, nil
}

type verifyInput struct {
	Body struct {
		Email string `json:"email" minLength:"3" maxLength:"254" example:"ann@example.test"`
		Code  string `json:"code" minLength:"1" maxLength:"32" example:"123456" doc:"The six digits from the mail"`

		Password string `json:"password,omitempty" minLength:"10" maxLength:"128" doc:"Becomes the account's, whoever registered since"`
	}
}

func (s *service) postVerifyEmail(ctx context.Context, in *verifyInput) (*struct{}, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	if in.Body.Password != "" {
		if err := CheckPassword("body.password", in.Body.Password, email); err != nil {
			return nil, err
		}
	}
	return nil, s.verify(ctx, email, strings.TrimSpace(in.Body.Code), in.Body.Password)
}

type emailInput struct {
	Body struct {
		Email string `json:"email" minLength:"3" maxLength:"254" example:"ann@example.test"`
	}
}

func (s *service) postVerifyEmailCode(ctx context.Context, in *emailInput) (*struct{}, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	return nil, s.requestCode(ctx, VerifyEmail, email, rest.ClientAddress(ctx))
}

func (s *service) postForgot(ctx context.Context, in *emailInput) (*struct{}, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	return nil, s.forgot(ctx, email, rest.ClientAddress(ctx))
}

type tokensOutput struct{ Body Tokens }

func tokensAnswer(t Tokens, err error) (*tokensOutput, error) {
	if err != nil {
		return nil, err
	}
	return &tokensOutput{t}, nil
}

type loginInput struct {
	Body struct {
		Email    string `json:"email" minLength:"3" maxLength:"254" example:"ann@example.test"`
		Password string `json:"password" minLength:"1" maxLength:"128"`
	}
}

func (s *service) postLogin(ctx context.Context, in *loginInput) (*tokensOutput, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	return tokensAnswer(s.login(ctx, email, in.Body.Password))
}

type refreshInput struct {
	Body struct {
		RefreshToken string `json:"refresh_token" minLength:"1" maxLength:"8192"`
	}
}

func (s *service) postRefresh(ctx context.Context, in *refreshInput) (*tokensOutput, error) {
	return tokensAnswer(s.refresh(ctx, in.Body.RefreshToken))
}

func (s *service) postLogout(ctx context.Context, in *refreshInput) (*struct{}, error) {
	return nil, s.logout(ctx, in.Body.RefreshToken)
}

type resetInput struct {
	Body struct {
		Email       string `json:"email" minLength:"3" maxLength:"254" example:"ann@example.test"`
		Code        string `json:"code" minLength:"1" maxLength:"32" example:"123456" doc:"The six digits from the mail"`
		NewPassword string `json:"new_password" minLength:"10" maxLength:"128"`
	}
}

func (s *service) postReset(ctx context.Context, in *resetInput) (*struct{}, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	if err := CheckPassword("body.new_password", in.Body.NewPassword, email); err != nil {
		return nil, err
	}
	return nil, s.resetPassword(ctx, email, strings.TrimSpace(in.Body.Code), in.Body.NewPassword)
}

type changeInput struct {
	Body struct {
		Password    string `json:"password" minLength:"1" maxLength:"128" doc:"The present one"`
		NewPassword string `json:"new_password" minLength:"10" maxLength:"128"`
	}
}

func (s *service) postChange(ctx context.Context, in *changeInput) (*struct{}, error) {
	caller := auth.Must(ctx)
	if err := CheckPassword("body.new_password", in.Body.NewPassword, caller.Email); err != nil {
		return nil, err
	}
	return nil, s.changePassword(ctx, caller, in.Body.Password, in.Body.NewPassword)
}

type emailChangeInput struct {
	Body struct {
		Password string `json:"password" minLength:"1" maxLength:"128"`
		Email    string `json:"email" minLength:"3" maxLength:"254" example:"ann.lee@example.test" doc:"The new one"`
	}
}

func (s *service) postEmailChange(ctx context.Context, in *emailChangeInput) (*struct{}, error) {
	email, err := ParseEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	return nil, s.askEmail(ctx, auth.Must(ctx), in.Body.Password, email, rest.ClientAddress(ctx))
}

type emailVerifyInput struct {
	Body struct {
		Code string `json:"code" minLength:"1" maxLength:"32" example:"123456" doc:"The six digits from the mail"`
	}
}

func (s *service) postEmailVerify(ctx context.Context, in *emailVerifyInput) (*struct{}, error) {
	return nil, s.confirmEmail(ctx, auth.Must(ctx), strings.TrimSpace(in.Body.Code))
}

func (s *service) postDeletion(ctx context.Context, in *struct {
	Body struct {
		Password string `json:"password" minLength:"1" maxLength:"128"`
	}
}) (*struct{}, error) {
	return nil, s.deleteAccount(ctx, auth.Must(ctx), in.Body.Password)
}

type verifyTokenOutput struct {
	Body struct {
		AccountID uuid.UUID `json:"account_id" format:"uuid"`
		Email     string    `json:"email"`
		Roles     []string  `json:"roles" nullable:"false" example:"[\"USER\"]"`
		ExpiresAt time.Time `json:"expires_at"`
	}
}

func (s *service) getVerifyToken(ctx context.Context, _ *struct{}) (*verifyTokenOutput, error) {
	caller := auth.Must(ctx)
	out := &verifyTokenOutput{}
	out.Body.AccountID, out.Body.Email, out.Body.Roles, out.Body.ExpiresAt = caller.ID, caller.Email, caller.Roles, caller.ExpiresAt.UTC()
	return out, nil
}

// loginItem is one line of a login history.
type loginItem struct {
	At        time.Time `json:"at"`
	Address   string    `json:"address"`
	UserAgent string    `json:"user_agent"`
	Outcome   string    `json:"outcome" enum:"success,failed"`
	Through   string    `json:"through" enum:"api,page" doc:"page: on Keycloak's login page, which tells no user agent"`
}

type loginsOutput struct{ Body rest.List[loginItem] }

func (s *service) getLoginHistory(ctx context.Context, in *struct{ rest.Page }) (*loginsOutput, error) {
	return s.loginHistory(ctx, auth.Must(ctx).ID, "", "newest", in.Page)
}

// loginHistory reads a page of an account's history. Its first page asks Keycloak what is new.
func (s *service) loginHistory(ctx context.Context, accountID uuid.UUID, outcome, sort string, page rest.Page) (*loginsOutput, error) {
	if page.Cursor == "" {
		s.learnPageLogins(ctx, accountID)
	}
	logins, next, err := s.store.logins(ctx, accountID, outcome, sort, page, s.now())
	if err != nil {
		return nil, err
	}
	out := &loginsOutput{rest.List[loginItem]{Items: []loginItem{}, NextCursor: next}}
	for _, l := range logins {
		out.Body.Items = append(out.Body.Items, loginItem{At: l.At, Address: l.Address, UserAgent: l.UserAgent, Outcome: l.Outcome, Through: l.Through})
	}
	return out, nil
}

// adminAccount is an account as the back office sees it.
type adminAccount struct {
	AccountID   *uuid.UUID `json:"account_id" format:"uuid" nullable:"true" doc:"Null while the account is being created"`
	Email       string     `json:"email"`
	FirstName   string     `json:"first_name"`
	LastName    string     `json:"last_name"`
	Status      Status     `json:"status" enum:"creating,pending,active,suspended,ending"`
	CreatedAt   time.Time  `json:"created_at"`
	ActivatedAt *time.Time `json:"activated_at"`
	Suspension  *suspended `json:"suspension"`
}

type suspended struct {
	_      struct{}  `nullable:"true"` // null unless it is suspended
	At     time.Time `json:"at"`
	Reason string    `json:"reason" doc:"In the words of the administrator"`
}

func toAdmin(a Account) adminAccount {
	view := adminAccount{
		AccountID: a.AccountID, Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, Status: a.Status,
		CreatedAt: a.CreatedAt, ActivatedAt: a.ActivatedAt,
	}
	if a.SuspendedAt != nil {
		view.Suspension = &suspended{At: *a.SuspendedAt, Reason: a.SuspendReason}
	}
	return view
}

type adminListInput struct {
	rest.Page
	Status string `query:"status" enum:"creating,pending,active,suspended,ending"`
	Email  string `query:"email" maxLength:"254" doc:"How the e-mail address begins"`
	Sort   string `query:"sort" enum:"newest,oldest,email,-email" default:"newest"`
}

type adminListOutput struct{ Body rest.List[adminAccount] }

func (s *service) adminListAccounts(ctx context.Context, in *adminListInput) (*adminListOutput, error) {
	accounts, next, err := s.store.accounts(ctx, in.Status, text.LowerASCII(in.Email), in.Sort, in.Page)
	if err != nil {
		return nil, err
	}
	out := &adminListOutput{rest.List[adminAccount]{Items: []adminAccount{}, NextCursor: next}}
	for _, a := range accounts {
		out.Body.Items = append(out.Body.Items, toAdmin(a))
	}
	return out, nil
}

type accountInput struct {
	AccountID uuid.UUID `path:"account_id" format:"uuid"`
}

type adminAccountOutput struct{ Body adminAccount }

func (s *service) adminGetAccount(ctx context.Context, in *accountInput) (*adminAccountOutput, error) {
	a, err := s.store.byAccountID(ctx, in.AccountID)
	if err != nil {
		return nil, err
	}
	return &adminAccountOutput{Body: toAdmin(a)}, nil
}

func (s *service) adminSuspend(ctx context.Context, in *struct {
	AccountID uuid.UUID `path:"account_id" format:"uuid"`
	Body      *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"For those who look at the account later"`
	}
}) (*adminAccountOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = strings.TrimSpace(in.Body.Reason)
	}
	a, err := s.suspend(ctx, auth.Must(ctx).ID, in.AccountID, reason)
	if err != nil {
		return nil, err
	}
	return &adminAccountOutput{Body: toAdmin(a)}, nil
}

func (s *service) adminReadmit(ctx context.Context, in *accountInput) (*adminAccountOutput, error) {
	a, err := s.readmit(ctx, auth.Must(ctx).ID, in.AccountID)
	if err != nil {
		return nil, err
	}
	return &adminAccountOutput{Body: toAdmin(a)}, nil
}

// owner is whose an e-mail address is.
type owner struct {
	Email     string    `json:"email"`
	AccountID uuid.UUID `json:"account_id" format:"uuid"`
}

type ownersOutput struct {
	Body struct {
		Items []owner `json:"items" nullable:"false"`
	}
}

func (s *service) postOwners(ctx context.Context, in *struct {
	Body struct {
		Emails []string `json:"emails" minItems:"1" maxItems:"500"`
	}
}) (*ownersOutput, error) {
	out := &ownersOutput{}
	var err error
	out.Body.Items, err = s.store.owners(ctx, in.Body.Emails)
	return out, err
}

type adminLoginsInput struct {
	AccountID uuid.UUID `path:"account_id" format:"uuid"`
	rest.Page
	Outcome string `query:"outcome" enum:"success,failed"`
	Sort    string `query:"sort" enum:"newest,oldest" default:"newest"`
}

func (s *service) adminLoginHistory(ctx context.Context, in *adminLoginsInput) (*loginsOutput, error) {
	if _, err := s.store.byAccountID(ctx, in.AccountID); err != nil {
		return nil, err
	}
	return s.loginHistory(ctx, in.AccountID, in.Outcome, in.Sort, in.Page)
}
